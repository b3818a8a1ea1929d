/* The protocol of claim, lease and fence: three workers, two documents of the same
 * name, and everything that can come between. README.md says what is left out and why;
 * scripts/check_model.py runs it.
 *
 * Every call of an SQL function is one step (d_step): it is one transaction and holds
 * the lock of the document's row. What a worker does is several steps: claim, read,
 * write. A step prints what it does, so that a replayed trail reads as a story.
 *
 * Defined by the preprocessor: HASHES (the hashes of the files are known, and workers
 * confuse their texts), LIVENESS (G9), COUNTED, and the guards that are taken out one
 * at a time, each named in verdicts.toml.
 */

#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 2
#endif

/* documents.ocr_status */
#define PENDING 0
#define PROCESSING 1
#define COMPLETED 2
#define FAILED 3
#define DELETED 4 /* there is no such row any more */

/* What a text was read from: the present file of a document, or one that has been
 * replaced since. Equality with TEXT_OF(d) is equality of the hashes. */
#define NO_TEXT 0
#define TEXT_OF(d) (1 + (d))
#define OLD_TEXT_OF(d) (3 + (d))
#define IS_READ_FROM(t, d) ((t) == TEXT_OF(d) || (t) == OLD_TEXT_OF(d))

#ifdef NO_RESULT_TOKEN
#define IS_RESULT_OF(w, d) false
#else
#define IS_RESULT_OF(w, d) (D[d].result == W[w].token)
#endif

#define NO_TOKEN 0
#define FRESH 15

/* Where the result of a lease is. */
#define NOWHERE 0
#define STANDS 1
#define SET_ASIDE 2

typedef Document {
    unsigned status : 3;
    unsigned lease : 4; /* ocr_lease_token */
    unsigned result : 4; /* ocr_result_token */
    unsigned text : 3; /* ocr_text */
    /* its newest row of ocr_previous_results */
    unsigned aside_result : 4;
    unsigned aside_text : 3;
    unsigned claims : 2; /* ocr_claims; 2 stands for more than one */
    /* its rows of ocr_queue, counted by status: that it has one is to be shown */
    unsigned waiting : 2 = 1;
    unsigned running : 2;
    unsigned dead : 2;
    unsigned attempts : 2
}

typedef Worker {
    unsigned token : 4; /* NO_TOKEN: has no job */
    unsigned doc : 1;
    unsigned text : 3;
#ifdef TOKEN_CHECK_NOT_ATOMIC
    bool checked;
#endif
#ifndef LIVENESS
    /* Known to nobody but the assertions: whether the lease has not been ended, and
     * where the result is that was written under it. */
    bool is_live;
    unsigned result : 2
#endif
}

Document D[2];
Worker W[WORKERS];

#ifdef LIVENESS
/* From some moment on, whichever, nobody disturbs: there are no more operators who
 * start a job anew, no more attempts that count for nothing, no more lost answers.
 * Crashes, failures and expiry go on. */
bool calm;
#define UNLESS_CALM !calm
#define ENDED(d) (D[d].status >= COMPLETED)
ltl g9 { [] (calm -> <> (ENDED(0) && ENDED(1))) }
#else
#define UNLESS_CALM true
#endif

/* With COUNTED the verifier says at its end how often each rule applied: what was never
 * reached was not verified. */
#ifdef COUNTED
c_decl {
    enum {
        document_missing, already_written, already_completed, stale_lease_over,
        stale_lease_taken, lease_required, source_mismatch, written, fenced, unfenced,
        dead, reset, cancelled, requeued, restored, deleted, retried, enqueued,
        replaced, replaced_under_lease, rules
    };
    static const char *const rule_names[rules] = {
        "document_missing", "already_written", "already_completed",
        "stale_lease_over", "stale_lease_taken", "lease_required", "source_mismatch",
        "written", "fenced", "unfenced", "dead", "reset", "cancelled", "requeued",
        "restored", "deleted", "retried", "enqueued", "replaced",
        "replaced_under_lease"
    };
    static unsigned long long applied[rules];
    __attribute__((destructor)) static void say_what_applied(void)
    {
        for (int rule = 0; rule < rules; rule++)
            printf("applied %s %llu\n", rule_names[rule], applied[rule]);
    }
}
#define COUNT(rule) c_code { applied[rule]++; }
#else
#define COUNT(rule) skip
#endif

/* Scratch: no step reads what another left there. */
hidden byte names[16];
hidden byte named, i, target, is_written, is_true;

/* ---- tokens ---- */

inline rename(it)
{
    if
    :: it != NO_TOKEN ->
        if
        :: names[it] == 0 -> named++; names[it] = named
        :: else
        fi;
        it = names[it]
    :: else
    fi
}

/* A token is random: it is equal to itself and to no other, and nothing else about it
 * is ever looked at. So the tokens that are still known to anybody may be numbered in
 * the order in which they are found, and what nobody knows any more is forgotten: no
 * bound on the number of claims is needed. */
inline rename_tokens()
{
    for (i : 0 .. 15) { names[i] = 0 }
    named = 0;
    rename(D[0].lease);
    rename(D[0].result);
    rename(D[0].aside_result);
    rename(D[1].lease);
    rename(D[1].result);
    rename(D[1].aside_result);
    for (i : 0 .. WORKERS - 1) { rename(W[i].token) }
    named = 0 /* a d_step must not end with a loop */
}

/* ---- what must hold ---- */

inline check(d)
{
#ifndef LIVENESS
    /* G3: whoever has a result, or is gone, has no job any more */
    assert(D[d].status < COMPLETED || D[d].status == FAILED
        || D[d].waiting + D[d].running + D[d].dead == 0);
    /* G5: at most one live job, and processing if and only if it is */
    assert(D[d].waiting + D[d].running <= 1);
    assert((D[d].status == PROCESSING) == (D[d].running == 1));
    /* G2: a lease is live if and only if the document is processing */
    assert((D[d].status == PROCESSING) == (D[d].lease != NO_TOKEN));
    /* G9: the job says what the document says, and none is without its job */
    assert(D[d].status != PENDING || (D[d].waiting == 1 && D[d].dead == 0));
    assert(D[d].status != FAILED || D[d].waiting + D[d].running == 0);
    assert(D[d].dead <= 1);
    assert(D[d].waiting == 0 || D[d].attempts < MAX_ATTEMPTS);
    /* G1: a result is of this document, and there is one if and only if completed */
    assert((D[d].status == COMPLETED) == (D[d].text != NO_TEXT));
    assert(D[d].text == NO_TEXT || IS_READ_FROM(D[d].text, d));
    assert(D[d].aside_text == NO_TEXT || IS_READ_FROM(D[d].aside_text, d))
#else
    skip
#endif
}

/* Whoever holds a lease on the document holds it no longer. */
inline note_end(d)
{
#ifndef LIVENESS
    for (i : 0 .. WORKERS - 1) {
        if
        :: W[i].doc == d -> W[i].is_live = false
        :: else
        fi
    }
#else
    skip
#endif
}

/* The results of leases on the document go from one place to another. */
inline note_move(d, from, to)
{
#ifndef LIVENESS
    for (i : 0 .. WORKERS - 1) {
        if
        :: W[i].doc == d && W[i].result == from -> W[i].result = to
        :: else
        fi
    }
#else
    skip
#endif
}

/* Every step on a document ends so. */
inline commit(d)
{
    rename_tokens();
    check(d)
}

/* ---- the functions ---- */

/* claim_ocr_jobs(), of one job */
inline claim(w, d)
{
    note_end(d);
    D[d].waiting--;
    D[d].running++;
    if
    :: D[d].attempts < MAX_ATTEMPTS -> D[d].attempts++
    :: else
    fi;
    if
    :: D[d].claims < 2 -> D[d].claims++
    :: else
    fi;
    D[d].status = PROCESSING;
    D[d].lease = FRESH;
    W[w].token = FRESH;
    W[w].doc = d;
#ifndef HASHES
    W[w].text = NO_TEXT;
#endif
#ifndef LIVENESS
    W[w].is_live = true;
    W[w].result = NOWHERE;
#endif
    commit(d)
}

/* end_ocr_leases() with p_next = 'retry' */
inline end_lease(d, is_spent)
{
    note_end(d);
    if
    :: D[d].running > 0 -> D[d].running--
    :: else
    fi;
    if
    :: !(is_spent) && D[d].attempts > 0 -> D[d].attempts--
    :: else
    fi;
    if
    :: (is_spent) && D[d].attempts >= MAX_ATTEMPTS ->
        COUNT(dead);
        D[d].dead++;
        D[d].status = FAILED
    :: else ->
        D[d].waiting++;
        D[d].status = PENDING
    fi;
    D[d].lease = NO_TOKEN
}

/* end_ocr_leases() with p_next = 'dead' */
inline end_lease_dead(d)
{
    note_end(d);
    D[d].running--;
    D[d].dead++;
    D[d].status = FAILED;
    D[d].lease = NO_TOKEN
}

/* judge_ocr_result(): sets is_written, or is_true where the answer is true because the
 * result stands already. The filename is not looked at: it is the same everywhere. */
inline judge(w, d, with_token)
{
    is_written = false;
    is_true = false;
    if
#ifdef FILENAME_ONLY
    :: D[d].status != DELETED -> is_written = true
    :: else
#else
    :: D[d].status == DELETED ->
        COUNT(document_missing)
#ifdef COMPLETED_IS_OVERWRITTEN
    :: D[d].status == COMPLETED -> is_written = true
#else
#ifndef NO_RESULT_TOKEN
    :: D[d].status == COMPLETED && with_token && D[d].result == W[w].token ->
        COUNT(already_written);
        is_true = true
#endif
    :: D[d].status == COMPLETED && !(with_token && IS_RESULT_OF(w, d)) ->
        COUNT(already_completed)
#endif
    :: D[d].status == PENDING || D[d].status == FAILED ->
        COUNT(stale_lease_over)
    :: D[d].status == PROCESSING ->
        if
#ifndef NO_TOKEN_CHECK
        :: with_token && W[w].token != D[d].lease ->
            COUNT(stale_lease_taken)
#endif
        :: !(with_token) && D[d].claims > 1 ->
            COUNT(lease_required)
        :: else ->
            if
#if defined(HASHES) && !defined(NO_HASH_CHECK)
            :: W[w].text != TEXT_OF(d) ->
                COUNT(source_mismatch)
#endif
            :: else ->
                COUNT(written);
                is_written = true
            fi
        fi
#endif
    fi
}

/* The UPDATE that completes a document, and the trigger behind it. */
inline complete(w, d)
{
#ifndef LIVENESS
    /* G1: read from the file of this very document, which nobody has replaced */
    assert(W[w].text == TEXT_OF(d));
    /* G4: no result stands there */
    assert(D[d].status != COMPLETED);
    /* G2: under a lease of this document that has not been ended */
    assert(W[w].doc == d && W[w].is_live);
    note_end(d);
    W[w].result = STANDS;
#endif
    D[d].text = W[w].text;
    D[d].result = D[d].lease;
    D[d].lease = NO_TOKEN;
    D[d].status = COMPLETED;
    D[d].attempts = 0;
#ifndef WRITE_NOT_ATOMIC
    D[d].waiting = 0;
    D[d].running = 0;
    D[d].dead = 0;
#endif
    is_true = true
}

/* update_ocr_safe() */
inline write(w, d, with_token)
{
    judge(w, d, with_token);
    if
    :: is_written -> complete(w, d)
    :: else
    fi;
#ifndef LIVENESS
    /* G11: repeated under its own token it is answered as the first time, and nobody
     * else is told that his result stands */
    assert(!(with_token) || W[w].doc != d || is_true == (W[w].result == STANDS));
#endif
    if
    :: is_true -> printf("        and is told true\n")
    :: else -> printf("        and is told false\n")
    fi;
    commit(d)
}

/* ---- a worker ---- */

/* Its job is over for it, whatever became of it. The text is still in its memory. */
inline forget(w)
{
    W[w].token = NO_TOKEN;
    W[w].doc = 0;
#ifndef HASHES
    W[w].text = NO_TEXT;
#endif
#ifdef TOKEN_CHECK_NOT_ATOMIC
    W[w].checked = false;
#endif
#ifndef LIVENESS
    W[w].is_live = false;
    W[w].result = NOWHERE;
#endif
    rename_tokens()
}

#define me _pid
#define HAS_JOB (W[me].token != NO_TOKEN)
#define HAS_TEXT (W[me].text != NO_TEXT)
#define MINE W[me].doc
#define IS_FENCED (D[MINE].lease != W[me].token)

active [WORKERS] proctype worker()
{
end:
    do
    :: d_step {
        !HAS_JOB && D[0].waiting > 0 ->
        printf("worker %d claims document 0\n", me);
        claim(me, 0)
    }
    :: d_step {
        !HAS_JOB && D[1].waiting > 0 ->
        printf("worker %d claims document 1\n", me);
        claim(me, 1)
    }
    :: d_step {
        HAS_JOB && W[me].text != TEXT_OF(MINE) && D[MINE].status != DELETED ->
        printf("worker %d reads the file of document %d\n", me, MINE);
        W[me].text = TEXT_OF(MINE)
    }

    /* the result is offered, and the answer arrives */
#ifndef TOKEN_CHECK_NOT_ATOMIC
    :: d_step {
        HAS_JOB && HAS_TEXT ->
        printf("worker %d offers its text for document %d\n", me, MINE);
        target = MINE;
        write(me, target, true);
        forget(me)
    }
    /* the answer is lost: the worker knows what it knew before, and may repeat */
    :: d_step {
        HAS_JOB && HAS_TEXT && UNLESS_CALM ->
        printf("worker %d offers its text for document %d\n", me, MINE);
        target = MINE;
        write(me, target, true);
        printf("        but the answer is lost\n")
    }
#else
    :: d_step {
        HAS_JOB && HAS_TEXT && !W[me].checked ->
        printf("worker %d has its token for document %d checked\n", me, MINE);
        target = MINE;
        judge(me, target, true);
        if
        :: is_written -> W[me].checked = true
        :: else -> forget(me)
        fi
    }
    :: d_step {
        W[me].checked ->
        printf("worker %d writes its text to document %d\n", me, MINE);
        target = MINE;
        complete(me, target);
        commit(target);
        forget(me)
    }
#endif
    /* without a token, as the first and only claim may */
    :: d_step {
        HAS_JOB && HAS_TEXT && UNLESS_CALM ->
        printf("worker %d offers its text for document %d without a token\n", me, MINE);
        target = MINE;
        write(me, target, false)
    }
    /* under its own token, but for the other document */
    :: d_step {
        HAS_JOB && HAS_TEXT && UNLESS_CALM ->
        printf("worker %d offers its text for document %d, which is not its own\n",
            me, 1 - MINE);
        target = 1 - MINE;
        write(me, target, true)
    }

    /* extend_ocr_leases(), report_ocr_progress(): nothing but the times changes */
    :: d_step {
        HAS_JOB && UNLESS_CALM ->
        printf("worker %d gives a sign of life on document %d\n", me, MINE);
#ifndef LIVENESS
        assert(W[me].is_live == !IS_FENCED)
#endif
    }

    /* fail_ocr_job(): document, permanent, infrastructure; release_ocr_job() */
    :: d_step {
        HAS_JOB ->
        printf("worker %d reports that document %d failed\n", me, MINE);
        if
        :: IS_FENCED -> COUNT(fenced)
        :: else ->
            COUNT(unfenced);
#ifndef LIVENESS
            assert(W[me].is_live);
#endif
            target = MINE;
            end_lease(target, true);
            commit(target)
        fi;
        forget(me)
    }
    :: d_step {
        HAS_JOB ->
        printf("worker %d reports that document %d cannot be read\n", me, MINE);
        if
        :: IS_FENCED -> COUNT(fenced)
        :: else ->
            COUNT(unfenced);
#ifndef LIVENESS
            assert(W[me].is_live);
#endif
            target = MINE;
            end_lease_dead(target);
            commit(target)
        fi;
        forget(me)
    }
    :: d_step {
        HAS_JOB && UNLESS_CALM ->
        printf("worker %d gives document %d back\n", me, MINE);
        if
        :: IS_FENCED -> COUNT(fenced)
        :: else ->
            COUNT(unfenced);
#ifndef LIVENESS
            assert(W[me].is_live);
#endif
            target = MINE;
            end_lease(target, false);
            commit(target)
        fi;
        forget(me)
    }

    /* SIGKILL: nothing is left of it, and another starts in its place */
    :: d_step {
        HAS_JOB ->
        printf("worker %d dies\n", me);
        W[me].text = NO_TEXT;
        forget(me)
    }
    od
}

/* ---- the clock ---- */

/* return_expired_leases(). A lease may have expired at any moment: workers stop and go
 * on again as they like. */
active proctype clock()
{
end:
    do
#ifndef NO_EXPIRY
#ifdef EXPIRY_SPENDS_NOTHING
#define IS_EXPIRY_SPENT false
#else
#define IS_EXPIRY_SPENT true
#endif
    :: d_step {
        D[0].running > 0 ->
        printf("the lease on document 0 expires\n");
        end_lease(0, IS_EXPIRY_SPENT);
        commit(0)
    }
    :: d_step {
        D[1].running > 0 ->
        printf("the lease on document 1 expires\n");
        end_lease(1, IS_EXPIRY_SPENT);
        commit(1)
    }
#endif
#ifdef WRITE_NOT_ATOMIC
    :: d_step {
        D[0].status == COMPLETED && D[0].running > 0 ->
        printf("the job of document 0 is removed\n");
        D[0].running = 0;
        commit(0)
    }
#endif
    :: false
    od
}

/* ---- an operator ---- */

inline reset(d)
{
    COUNT(reset);
    printf("the operator resets document %d\n", d);
#ifdef RESET_ONE_TABLE
    D[d].running--;
    D[d].waiting++;
#else
    end_lease(d, true);
#endif
    commit(d)
}

/* no job is left */
inline end_job(d)
{
    D[d].waiting = 0;
    D[d].running = 0;
    D[d].dead = 0;
    D[d].attempts = 0;
    D[d].lease = NO_TOKEN
}

inline cancel(d)
{
    COUNT(cancelled);
    printf("the operator cancels document %d\n", d);
    note_end(d);
    end_job(d);
    D[d].status = FAILED;
    commit(d)
}

/* a new job, with all its attempts, in the place of the one that there was */
inline start_anew(d)
{
    D[d].running = 0;
    D[d].dead = 0;
    D[d].waiting = 1;
    D[d].attempts = 0;
    D[d].lease = NO_TOKEN;
    D[d].status = PENDING
}

inline requeue(d)
{
    COUNT(requeued);
    printf("the operator requeues document %d\n", d);
    note_end(d);
    if
    :: D[d].status == COMPLETED ->
        note_move(d, SET_ASIDE, NOWHERE);
        note_move(d, STANDS, SET_ASIDE);
        D[d].aside_text = D[d].text;
        D[d].aside_result = D[d].result;
        D[d].text = NO_TEXT;
        D[d].result = NO_TOKEN
    :: else
    fi;
    start_anew(d);
    commit(d)
}

/* restore_previous_result() */
inline restore(d)
{
    COUNT(restored);
    printf("the operator restores the previous result of document %d\n", d);
    note_end(d);
    note_move(d, SET_ASIDE, STANDS);
    D[d].text = D[d].aside_text;
    D[d].result = D[d].aside_result;
    D[d].aside_text = NO_TEXT;
    D[d].aside_result = NO_TOKEN;
    end_job(d);
    D[d].status = COMPLETED;
    commit(d)
}

/* a plain DELETE, which takes everything about the document with it */
inline delete_document(d)
{
    COUNT(deleted);
    printf("document %d is deleted\n", d);
    note_end(d);
    note_move(d, STANDS, NOWHERE);
    note_move(d, SET_ASIDE, NOWHERE);
    D[d].text = NO_TEXT;
    D[d].result = NO_TOKEN;
    D[d].aside_text = NO_TEXT;
    D[d].aside_result = NO_TOKEN;
    D[d].claims = 0;
    end_job(d);
    D[d].status = DELETED;
    commit(d)
}

/* retry_failed_ocr_jobs() wants a dead job, enqueue_ocr_job() is content without */
inline retry(d)
{
    COUNT(retried);
    printf("the operator retries document %d\n", d);
    start_anew(d);
    commit(d)
}

inline enqueue(d)
{
    COUNT(enqueued);
    printf("the operator enqueues document %d\n", d);
    start_anew(d);
    commit(d)
}

/* an UPDATE of documents that names another file, and the trigger behind it */
inline replace_file(d)
{
    COUNT(replaced);
    printf("the file of document %d is replaced\n", d);
    for (i : 0 .. WORKERS - 1) {
        if
        :: W[i].text == TEXT_OF(d) -> W[i].text = OLD_TEXT_OF(d)
        :: else
        fi
    }
#ifndef LEASE_SURVIVES_REPLACEMENT
    if
    :: D[d].status == PROCESSING ->
        COUNT(replaced_under_lease);
        note_end(d);
        start_anew(d)
    :: else
    fi;
#endif
    commit(d)
}

active proctype operator()
{
end:
    do
    :: d_step { D[0].running > 0 -> reset(0) }
    :: d_step { D[1].running > 0 -> reset(1) }
    :: d_step { D[0].waiting + D[0].running > 0 -> cancel(0) }
    :: d_step { D[1].waiting + D[1].running > 0 -> cancel(1) }
    :: d_step { UNLESS_CALM && D[0].status != DELETED -> requeue(0) }
    :: d_step { UNLESS_CALM && D[1].status != DELETED -> requeue(1) }
    :: d_step {
        D[0].aside_text != NO_TEXT && D[0].status != COMPLETED -> restore(0)
    }
    :: d_step {
        D[1].aside_text != NO_TEXT && D[1].status != COMPLETED -> restore(1)
    }
    :: d_step { UNLESS_CALM && D[0].status == FAILED && D[0].dead > 0 -> retry(0) }
    :: d_step { UNLESS_CALM && D[1].status == FAILED && D[1].dead > 0 -> retry(1) }
    :: d_step { UNLESS_CALM && D[0].status == FAILED -> enqueue(0) }
    :: d_step { UNLESS_CALM && D[1].status == FAILED -> enqueue(1) }
    :: d_step { UNLESS_CALM && D[0].status != DELETED -> replace_file(0) }
    :: d_step { UNLESS_CALM && D[1].status != DELETED -> replace_file(1) }
    :: d_step { UNLESS_CALM && D[0].status != DELETED -> delete_document(0) }
    :: d_step { UNLESS_CALM && D[1].status != DELETED -> delete_document(1) }
#ifdef LIVENESS
    :: d_step {
        !calm ->
        printf("nobody disturbs any more\n");
        calm = true
    }
    /* nobody may count on an operator */
    :: d_step {
        calm ->
        printf("no operator does anything\n")
    }
#endif
    od
}
