/**
 * The test files that take longest: `deno task test` names them first, so that none of them is left at the end while
 * nothing else runs. Those that need much CPU time stand between those that mostly wait. Each full run prints which
 * files took longest. `deno test` begins with the folders whose paths are longest, whatever comes first in its
 * arguments, and keeps the order of files only among folders of the same length: `tests/scenarios` comes before
 * `tests/cluster`, and both before all that is short.
 */
export const SLOW: readonly string[] = [
  "tests/simulation/cluster_test.ts",
  "tests/simulation/simulation_test.ts",
  "tests/databases/postgres_test.ts",
  "tests/scenarios/http_slow_clients_test.ts",
  "tests/scenarios/postgres_test.ts",
  "tests/scenarios/sessions_test.ts",
  "tests/scenarios/postgres_recipe_test.ts",
  "tests/scenarios/failback_test.ts",
  "tests/scenarios/commands_modes_test.ts",
  "tests/scenarios/names_test.ts",
  "tests/scenarios/explain_test.ts",
  "tests/scenarios/http_limits_test.ts",
  "tests/scenarios/commands_test.ts",
  "tests/scenarios/primary_lost_test.ts",
  "tests/databases/mysql_test.ts",
  "tests/scenarios/http_static_test.ts",
  "tests/scenarios/control_test.ts",
  "tests/scenarios/moves_test.ts",
  "tests/scenarios/upgrade_load_test.ts",
  "tests/scenarios/http_stop_test.ts",
  "tests/scenarios/postgres_roles_test.ts",
  "tests/scenarios/check_script_test.ts",
  "tests/scenarios/upgrade_leaks_test.ts",
  "tests/scenarios/mysql_test.ts",
  "tests/scenarios/many_services_test.ts",
  "tests/scenarios/http_failover_test.ts",
  "tests/scenarios/reload_options_test.ts",
  "tests/scenarios/http_retry_log_test.ts",
  "tests/scenarios/descriptors_test.ts",
  "tests/scenarios/http_documented_test.ts",
  "tests/scenarios/all_down_test.ts",
  "tests/scenarios/access_log_test.ts",
  "tests/cluster/cluster_test.ts",
  "tests/gateway/process_test.ts",
  "tests/cluster/postgres_test.ts",
  "tests/cluster/alone_test.ts",
  "tests/cluster/schedule_test.ts",
  "tests/faults/http2_attacks_test.ts",
  "tests/faults/faults_test.ts",
  "tests/docs_test.ts",
];
