-- Who may call what. Loaded last, after every function exists. Functions are open to
-- PUBLIC by default; the package's are closed, each by name, since the schema may hold
-- functions of the application as well. Grant EXECUTE to the roles that need it; the
-- functions of producing, working and operating are SECURITY DEFINER, so that their
-- callers need no rights on the tables.


-- internal
revoke execute on function admit_circuit_probe from public;
revoke execute on function are_sha256_digits from public;
revoke execute on function check_lease_arguments from public;
revoke execute on function count_circuit_failure from public;
revoke execute on function elapsed_ms from public;
revoke execute on function end_ocr_leases from public;
revoke execute on function fail_rejected_job from public;
revoke execute on function list_foreign_texts from public;
revoke execute on function find_invalid_result from public;
revoke execute on function form_result_history from public;
revoke execute on function hash_ocr_text from public;
revoke execute on function lock_live_lease from public;
revoke execute on function is_text_compared from public;
revoke execute on function judge_ocr_result from public;
revoke execute on function list_ocr_findings from public;
revoke execute on function lock_ocr_documents from public;
revoke execute on function notify_ocr_workers from public;
revoke execute on function lock_ocr_offers from public;
revoke execute on function offer_ocr_batch from public;
revoke execute on function offer_ocr_element from public;
revoke execute on function offer_ocr_results from public;
revoke execute on function raise_final_result from public;
revoke execute on function read_claim_marks from public;
revoke execute on function read_ocr_result from public;
revoke execute on function record_ocr_refusals from public;
revoke execute on function record_written_results from public;
revoke execute on function reject_argument from public;
revoke execute on function restart_replaced_job from public;
revoke execute on function return_expired_leases from public;
revoke execute on function set_circuit_state from public;
revoke execute on function set_claim_marks from public;
revoke execute on function settle_displaced_jobs from public;
revoke execute on function start_ocr_jobs from public;
revoke execute on function write_ocr_results from public;

-- producing
revoke execute on function enqueue_ocr_job from public;
revoke execute on function enqueue_ocr_jobs from public;
revoke execute on function enqueue_pending_documents from public;
revoke execute on function ingest_ocr_documents from public;
revoke execute on function requeue_document from public;
revoke execute on function restore_previous_result from public;

-- working
revoke execute on function claim_ocr_jobs from public;
revoke execute on function extend_ocr_leases from public;
revoke execute on function fail_ocr_job from public;
revoke execute on function release_ocr_job from public;
revoke execute on function report_ocr_progress from public;
revoke execute on function update_ocr_arrays_safe from public;
revoke execute on function update_ocr_batch_safe from public;
revoke execute on function update_ocr_safe from public;

-- operating
revoke execute on function acquire_lease_lock from public;
revoke execute on function cancel_ocr_job from public;
revoke execute on function create_ocr_history_partitions from public;
revoke execute on function find_inconsistencies from public;
revoke execute on function find_stuck_ocr_jobs from public;
revoke execute on function lock_resource from public;
revoke execute on function pause_ocr_queue from public;
revoke execute on function record_ocr_file_checks from public;
revoke execute on function refresh_ocr_stats from public;
revoke execute on function release_lease_lock from public;
revoke execute on function repair_database_consistency from public;
revoke execute on function reset_stuck_ocr_jobs from public;
revoke execute on function resume_ocr_queue from public;
revoke execute on function retry_failed_ocr_jobs from public;
revoke execute on function set_ocr_setting from public;
revoke execute on function validate_database_consistency from public;

-- triggers
revoke execute on function validate_ocr_consistency from public;
revoke execute on function cleanup_completed_ocr_queue from public;
revoke execute on function hash_inserted_ocr_text from public;
