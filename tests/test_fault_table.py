"""The table of thirty faults, and the tests that hold each: none may be missing, and none skipped wherever it is run.

A test that needs a browser, vLLM or another user stands beside one that needs nothing. `SLOW` rows train in processes
of their own; `make test-slow ARGS="-k test_row_"` runs them.
"""

from __future__ import annotations

import ast
import inspect

import pytest
from skipped_here import TESTS, file_of, functions, skipped, skips

# row -> (fault or input, what is to happen, tests as module::function).
TABLE: dict[int, tuple[str, str, list[str]]] = {
    1: (
        "SIGKILL inside a save",
        "the complete checkpoint before is used",
        [
            "test_fault_training::test_row_1_killed_inside_a_save_the_checkpoint_before_is_used",
            "test_resume::test_row_5_a_crash_falls_back_to_the_last_checkpoint",
            "test_resume_processes::test_stopped_at_random_moments_it_ends_as_if_undisturbed",
        ],
    ),
    2: (
        "truncated safetensors",
        "passed over, the file named",
        [
            "test_resume::test_a_damaged_checkpoint_is_named_and_passed_over",
            "test_resume::test_with_a_damaged_checkpoint_the_end_is_the_same",
            "test_fault_checkpoints::test_row_2_a_checkpoint_of_another_shape_is_named_and_the_one_before_taken",
        ],
    ),
    3: (
        "a checkpoint named by hand that is none",
        "an error",
        [
            "test_fault_checkpoints::test_row_3_a_checkpoint_named_by_hand",
            "test_values::test_a_checkpoint_to_go_on_from_is_this_stages_own_last",
        ],
    ),
    4: (
        "SFT stopped and resumed",
        "losses of an undisturbed run",
        ["test_resume::test_row_4_sigterm_at_any_step", "test_resume_processes::test_two_processes_stopped_twice"],
    ),
    5: (
        "GRPO resumed inside a cycle of generation",
        "as if undisturbed",
        [
            "test_resume::test_row_4_sigterm_at_any_step",
            "test_resume::test_row_5_a_crash_falls_back_to_the_last_checkpoint",
        ],
    ),
    6: (
        "SIGTERM, SIGHUP, a closed terminal",
        "saved, ended, resumed",
        [
            "test_resume::test_row_4_sigterm_at_any_step",
            "test_fault_signals::test_row_6_what_asks_a_stage_to_stop_leaves_no_lock",
            "test_fault_signals::test_row_6_a_closed_terminal_saves_the_training",
            "test_fault_signals::test_row_6_a_closed_terminal_saves_the_stage_of_a_pipeline",
        ],
    ),
    7: (
        "disk full",
        "what was there is kept, a clear error",
        [
            "test_fault_training::test_row_7_a_full_disk_keeps_the_checkpoint_before",
            "test_stage::test_a_full_disk_leaves_the_old_output",
        ],
    ),
    8: (
        "NaN in loss or gradient",
        "stopped before the update, weights unchanged",
        [
            "test_faults_numbers::test_row_8_a_loss_that_is_no_number_stops_fine_tuning",
            "test_faults_numbers::test_a_gradient_alone_is_enough_and_the_parameter_is_named",
        ],
    ),
    9: (
        "all rewards None",
        "nothing learnt from the group, counted",
        [
            "test_fault_training::test_row_9_where_every_reward_is_none_nothing_is_learnt_and_it_is_counted",
            "test_fault_training::test_row_9_groups_that_nobody_judged_teach_nothing_beside_one_that_is_judged",
            "test_fault_training::test_row_9_the_stage_says_so_at_its_end",
        ],
    ),
    10: (
        "a reward gives NaN, 2.0, or too few",
        "an error that names the function",
        [
            "test_rewards_guard::test_row_10_a_value_that_is_no_reward_is_named",
            "test_rewards_guard::test_a_result_that_is_no_list_of_rewards",
        ],
    ),
    11: (
        "a bad line, a missing column, an empty text",
        "left out, counted and named with its line; an error above 1%",
        [
            "test_bad_rows::test_row_11_one_bad_line_is_left_out_counted_and_named",
            "test_bad_rows::test_row_11_more_than_the_share_stop",
            "test_bad_rows::test_row_11_rows_of_a_table",
            "test_bad_rows::test_row_11_rows_of_a_csv",
            "test_bad_rows::test_row_11_each_source_of_a_mixture_counts_for_itself",
            "test_bad_rows::test_row_11_every_recipe_goes_on_with_few_and_stops_with_many",
            "test_data::test_a_bad_file_is_named_with_its_line",
        ],
    ),
    12: (
        "a gold that nobody can judge by",
        "left out before training, counted and named",
        [
            "test_bad_rows::test_row_12_golds_that_nobody_can_judge_by_are_left_out_and_named",
            "test_bad_rows::test_row_12_where_no_gold_can_be_judged_by_the_stage_stops",
            "test_code_reward::test_row_12_rows_that_judge_nothing_are_told_beforehand",
            "test_code_recipe::test_rows_that_judge_nothing_are_named_before_training",
            "test_fault_training::test_row_12_what_no_table_can_hold_is_named_with_row_and_column",
            "test_fault_training::test_row_12_odd_golds_train_without_an_error",
        ],
    ),
    13: (
        "no rows, less than a step",
        "an error with the counts",
        [
            "test_trainers::test_row_13_training_on_nothing_is_an_error",
            "test_trainers::test_fewer_steps_than_asked_for_is_an_error",
            "test_recipe_inputs::test_bad_input_is_one_error_that_says_all",
        ],
    ),
    14: (
        "out of memory",
        "fewer rows at once, the same effective batch",
        [
            "test_faults_memory::test_parts_give_the_gradient_of_the_whole",
            "test_faults_memory::test_row_14_fine_tuning_goes_on_with_half_the_rows",
        ],
    ),
    15: (
        "vLLM refuses, hangs, answers 500",
        "waited for within bounds, saved, status not 0",
        [
            "test_rollout_engine::test_row_15_a_failure_under_way_saves_the_work_and_the_same_command_goes_on",
            "test_rollout_engine::test_row_15_a_server_that_is_not_ready_is_waited_for_within_bounds",
            "test_rollout_engine::test_row_15_nothing_listens",
            "test_rollout_engine::test_row_15_the_recipe_exits_with_a_message",
        ],
    ),
    16: (
        "stale weights on the server after a resume",
        "weights sent before the first rollout; a failure ends the run saved",
        [
            "test_rollout_engine::test_row_16_a_resumed_run_sends_its_weights_before_the_first_rollout",
            "test_rollout_engine::test_row_16_weights_that_do_not_arrive_end_the_run_saved",
            "test_rollout_engine::test_row_16_every_weight_is_gone_through_whatever_fails",
        ],
    ),
    17: (
        "the Hub answers 500 in the middle",
        "the result is kept, the same command finishes",
        [
            "test_hub_faults::test_row_17_an_answer_in_the_middle",
            "test_hub_faults::test_a_cut_push_goes_on",
            "test_hub_faults::test_pushes_cut_all_along",
        ],
    ),
    18: (
        "an output that was changed",
        "the next stage refuses",
        [
            "test_stage::test_row_18_an_edited_input_is_refused_by_name_and_a_good_one_recorded",
            "test_pipeline_run::test_one_edited_byte_is_refused_by_name",
            "test_stage_readers::test_a_stage_with_a_stranger_is_not_read",
        ],
    ),
    19: (
        "9^{9^9}, (10^7)!, 500 parentheses",
        "judged within the budget, on any thread, the worker replaced",
        [
            "test_verify_workers::test_row_19_hostile_text_is_judged",
            "test_verify_workers::test_hostile_texts_on_sixteen_threads_at_once",
            "test_verify_workers::test_a_killed_worker_is_replaced",
        ],
    ),
    20: ("Countdown 99**98**97", "wrong, at once", ["test_verifiers_countdown::test_row_20_countdown_cheats"]),
    21: (
        "several boxes, {3,7}, trailing text, nested tags",
        "not paid",
        [
            "test_verify::test_row_21_not_fourteen",
            "test_verify::test_no_final_answer",
            "test_rewards_shape::test_the_papers_format_looks_at_the_thought",
            "test_grammar::test_stream_equals_whole_text",
        ],
    ),
    22: (
        "less or more on stdout than expected",
        "wrong",
        [
            "test_code_verify::test_the_first_line_of_the_expected_output_is_not_all_of_it",
            "test_code_compare::test_row_22_printed_text",
        ],
    ),
    23: (
        "exit(0), AlwaysEqual, printed 1.0",
        "wrong",
        [
            "test_code_verify::test_row_23_right_and_wrong_programs",
            "test_sandbox_attacks::test_the_score_cannot_be_fooled_without_a_sandbox_either",
        ],
    ),
    24: (
        "fork bomb, orphan, setsid",
        "nothing survives",
        [
            "test_sandbox::test_row_24_no_process_and_no_descriptor_stays",
            "test_sandbox::test_a_killed_parent_takes_the_sandbox_along",
            "test_sandbox_attacks::test_row_26_contained",
        ],
    ),
    25: (
        "a flood of output, 1 GB, a full disk",
        "killed, the parent's memory bounded",
        ["test_sandbox::test_row_25_how_a_run_ends", "test_sandbox_attacks::test_row_26_contained"],
    ),
    26: (
        "the token, files outside, connections",
        "denied",
        [
            "test_sandbox_attacks::test_row_26_contained",
            "test_sandbox_attacks::test_the_attack_works_without_a_sandbox",
        ],
    ),
    27: (
        "no sandbox works",
        "refused at the start; no verdict is no 0",
        [
            "test_sandbox_refusal::test_row_27_the_error_names_what_is_missing",
            "test_code_reward::test_no_sandbox_stops_before_training",
            "test_code_reward::test_a_failing_sandbox_is_no_zero",
        ],
    ),
    28: (
        "<script>, javascript:, images elsewhere",
        "inert text",
        [
            "test_app_texts::test_row_28_no_tag_or_image_survives_anywhere",
            "test_app_texts::test_a_card_and_a_chart_hold_no_html_of_a_model",
            "test_app_faults::test_nothing_of_a_model_runs_or_leaves",
        ],
    ),
    29: (
        "huge prompts and numbers, 50 clients, no key",
        "4xx, a bounded queue",
        [
            "test_serving_attacks::test_row_29_megabytes_and_huge_numbers_of_fifty_clients_hold_nobody_up",
            "test_serving_attacks::test_row_29_fifty_clients_at_once_are_answered_or_told_to_come_again",
            "test_serving_attacks::test_a_request_that_is_no_good_gets_a_sentence",
            "test_app_door::test_the_limits_hold_for_all_that_is_sent",
            "test_app_door::test_one_persons_questions_leave_places_for_the_others",
            "test_serving_gateway::test_bad_requests",
            "test_serving_gateway::test_row_29_the_queue_is_bounded",
            "test_serving_gateway::test_the_key_is_asked_for",
            "test_serving_gateway::test_many_at_once_get_their_own_answers",
        ],
    ),
    30: (
        "pickles, auto_map, a token in the environment",
        "refused; in no log, card or manifest",
        [
            "test_foreign_code::test_row_30_what_a_directory_must_not_hold",
            "test_foreign_code::test_row_30_at_a_terminal_nobody_is_asked",
            "test_serving_models::test_pickles_are_refused",
            "test_stage::test_no_secret_in_anything_that_a_stage_leaves",
            "test_hub_faults::test_the_token_is_nowhere",
            "test_hub_faults::test_what_lies_here_is_proved_first",
            "test_secrets::test_a_secret_is_found_and_masked_whatever_stands_around",
        ],
    ),
}


def test_every_row_is_there_with_tests_that_exist() -> None:
    assert list(TABLE) == list(range(1, 31))
    missing = [
        f"row {row}: {name}"
        for row, (_, _, tests) in TABLE.items()
        for name in tests
        if name.partition("::")[2] not in functions(file_of(name.partition("::")[0]))
    ]
    assert not missing


def test_every_row_has_a_test_that_names_it() -> None:
    listed = {(row, name.partition("::")[2]) for row, (_, _, tests) in TABLE.items() for name in tests}
    named = {name for path in TESTS.rglob("test_*.py") for name in functions(path) if name.startswith("test_row_")}
    by_row = {row: [name for name in named if name.startswith(f"test_row_{row}_")] for row in TABLE}
    assert sum(map(len, by_row.values())) == len(named)
    for row, names in by_row.items():
        assert any((row, name) in listed for name in names), row


@pytest.mark.parametrize("row", TABLE)
def test_a_row_is_held_by_a_test_that_is_not_skipped_here(row: int) -> None:
    tests = TABLE[row][2]
    found = {name: why for name in tests if (why := skipped(*name.split("::")))}
    assert len(found) < len(tests), found


def test_what_is_skipped_is_seen() -> None:
    """The reading of skips itself."""
    source = """
import pytest
def package():
    pytest.importorskip("no_such_package")
def needs(package): ...
def test_here(): ...
def test_by_fixture(needs): ...
def test_by_call():
    package()
def test_perhaps():
    pytest.skip("x")
"""
    known = {node.name: node for node in ast.parse(inspect.cleandoc(source)).body if isinstance(node, ast.FunctionDef)}
    assert {name for name in known if name.startswith("test") and list(skips(name, known))} == {
        *("test_by_fixture", "test_by_call", "test_perhaps"),
    }
