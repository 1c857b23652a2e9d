import { assertEquals } from "@std/assert";
import { mysqlReport, readOnlyQuestion, replicationQuestion, type Row } from "./question.ts";

const row = (values: Record<string, string | null>): Row => new Map(Object.entries(values));

Deno.test("each server is asked for what it has", () => {
  assertEquals(readOnlyQuestion("5.5.5-10.11.6-MariaDB"), "select @@global.read_only as read_only");
  assertEquals(
    readOnlyQuestion("8.0.36"),
    "select @@global.read_only as read_only, @@global.super_read_only as super_read_only",
  );
  const questions = ["11.4.2-MariaDB", "8.0.36", "8.4.0", "9.1.0", "8.0.21", "5.7.44-log"];
  assertEquals(questions.map(replicationQuestion), [
    "show all slaves status",
    "show replica status",
    "show replica status",
    "show replica status",
    "show slave status",
    "show slave status",
  ]);
});

Deno.test("who takes writes is the primary, also if it replicates", () => {
  const open = row({ read_only: "0", super_read_only: "0" });
  assertEquals(mysqlReport(open, []), { role: "primary", phase: "running", readOnly: false });
  const source = row({ source_host: "db2", source_port: "3306" });
  assertEquals(mysqlReport(open, [source]).reason, "takes writes, and replicates from db2:3306");
});

Deno.test("who takes no writes is a standby, with the lag that it knows", () => {
  for (
    const closed of [
      row({ read_only: "1" }),
      row({ read_only: "ON" }),
      row({ read_only: "0", super_read_only: "1" }),
    ]
  ) {
    assertEquals(mysqlReport(closed, undefined), {
      role: "standby",
      phase: "running",
      readOnly: true,
    });
  }
  const source = {
    seconds_behind_source: "4",
    replica_io_running: "Yes",
    replica_sql_running: "Yes",
    source_log_file: "b.1",
    relay_source_log_file: "b.1",
    read_source_log_pos: "900",
    exec_source_log_pos: "400",
  };
  const report = mysqlReport(row({ read_only: "1" }), [row(source)]);
  assertEquals([report.lagSeconds, report.lagBytes, report.reason], [4, 500, undefined]);
  const other = mysqlReport(row({ read_only: "1" }), [
    row({
      ...source,
      relay_source_log_file: "b.0",
      seconds_behind_source: null,
      replica_io_running: "Connecting",
    }),
  ]);
  assertEquals([other.lagSeconds, other.lagBytes], [undefined, undefined]);
  assertEquals(other.reason, "replication does not run (I/O thread Connecting, SQL thread Yes)");
});

Deno.test("the names of old servers mean the same", () => {
  const report = mysqlReport(row({ read_only: "1" }), [row({
    seconds_behind_master: "2",
    slave_io_running: "Yes",
    slave_sql_running: "No",
    master_log_file: "b.1",
    relay_master_log_file: "b.1",
    read_master_log_pos: "10",
    exec_master_log_pos: "10",
  })]);
  assertEquals([report.lagSeconds, report.lagBytes], [2, 0]);
  assertEquals(report.reason, "replication does not run (I/O thread Yes, SQL thread No)");
});
