"""The races of every pair of calls: a table of calls, the specs that are made from it,
and the rules that their outcomes keep."""
