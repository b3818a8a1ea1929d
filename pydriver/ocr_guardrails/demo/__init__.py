"""The demo: the same documents, workers and faults on plain tables and on guarded ones.

``pages`` makes the documents, ``faults`` decides what goes wrong, ``workload`` has the
workers; ``unsafe`` and ``guarded`` are the two ways to claim a job and write a result;
``truth`` and ``gauge`` measure what came of it, ``report`` tells it, ``run`` puts it
all together.
"""
