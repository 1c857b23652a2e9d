import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Histogram } from "../base/histogram.ts";
import type { OperatorOrder } from "../failover/orders.ts";
import { metricsText } from "./metrics.ts";
import { answeredAs, PASSED, REFUSED } from "../failover/testing/results.ts";
import { TestService } from "./testing/service.ts";

const ROLES = { roles: { maxLag: undefined, promotedBy: "us" } } as const;
const FACTS = {
  version: "1.2.3",
  startedAt: 1_500,
  now: 0,
  descriptors: { open: 20, max: 1_024 },
  memoryBytes: 5,
  config: { hash: "abc", readAt: 5_000 },
  logLinesLost: 1,
  notificationsLost: 2,
  reportsBroken: 0,
};

Deno.test("metrics show verdicts, the active upstream, checks and moves", async () => {
  const counters = { clientSentBytes: 10, held: 2, longestHoldMs: 1_500 };
  await using service = new TestService({ name: "shop", counters });
  service.holdTimes.add(1_500);
  const times = new Histogram([1]);
  times.add(10);
  service.requestTimes.push({ method: "GET", status: 200, upstream: "b", times });
  await service.start(PASSED, REFUSED);
  await service.answer("a", REFUSED, 4);
  await service.answer("b", PASSED);
  const noVerdict = { passed: false, tookMs: 0, reason: "EMFILE", evidence: "no_verdict" };
  await service.answer("b", noVerdict as typeof REFUSED, 2);
  const text = metricsText([service.view], service.eventCounts, service.incidents.counts, FACTS);
  for (
    const line of [
      'failover_upstream_up{service="shop",upstream="a",rank="0"} 0',
      'failover_upstream_active{service="shop",upstream="b",rank="1"} 1',
      'failover_epoch{service="shop"} 2',
      'failover_serving{service="shop"} 1',
      'failover_checks_total{service="shop",upstream="a",result="failed"} 4',
      'failover_checks_total{service="shop",upstream="b",result="passed"} 1',
      'failover_checks_total{service="shop",upstream="b",result="no_verdict"} 2',
      'failover_promotions_total{service="shop",move="failover"} 1',
      'failover_events_total{service="shop",type="upstream.down"} 2',
      'failover_client_sent_bytes_total{service="shop"} 10',
      'failover_ready{service="shop"} 0',
      'failover_on_backup{service="shop"} 1',
      'failover_check_duration_seconds_count{service="shop",upstream="a"} 5',
      'failover_promotion_duration_seconds_count{service="shop",move="failover"} 1',
      'failover_outage_seconds_total{service="shop"} 0',
      "process_open_fds 20",
      "process_max_fds 1024",
      'failover_clients_held{service="shop"} 2',
      'failover_upstream_role{service="shop",upstream="a",role="standby"} 1',
      'failover_upstream_role{service="shop",upstream="b",role="standby"} 0',
      'failover_upstream_role{service="shop",upstream="b",role="active"} 1',
      'failover_hold_duration_seconds_bucket{service="shop",le="2.5"} 1',
      'failover_hold_duration_seconds_sum{service="shop"} 1.5',
      'http_server_request_duration_seconds_count{service="shop",method="GET",status="200",upstream="b"} 1',
      "failover_log_lines_lost_total 1",
      "failover_notifications_lost_total 2",
      'failover_build_info{version="1.2.3"} 1',
      "process_start_time_seconds 1.5",
    ]
  ) assertStringIncludes(text, `${line}\n`);
  assert(!text.includes("longest_hold"), "the histogram shows it");
  assert(
    !text.includes("requests_total"),
    "a counter that the data plane does not have is left out",
  );
});

Deno.test("every line of the metrics follows the grammar, and each family is declared once", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  const text = metricsText([service.view], service.eventCounts, service.incidents.counts, FACTS);
  const comment = /^# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge|histogram))$/;
  const sample = /^[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? [\d.e+-]+$/;
  assert(text.endsWith("\n"));
  for (const line of text.slice(0, -1).split("\n")) {
    assert(comment.test(line) || sample.test(line), line);
  }
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)/gm)];
  assertEquals(new Set(names.map(([, name]) => name)).size, names.length);
  for (const [, name, kind] of names) assertEquals(name!.endsWith("_total"), kind === "counter");
});

Deno.test("no upstream would take over while the service is paused, or the other upstream is drained", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  await service.answer("b", PASSED);
  const ready = () =>
    /^failover_ready\{service=""\} (\d)$/m.exec(
      metricsText([service.view], service.eventCounts, [], FACTS),
    )![1];
  const order = async (order: OperatorOrder) => {
    service.view.order(order, { by: "ann", reason: "" });
    await service.clock.advance(0);
  };
  assertEquals(ready(), "1");
  await order({ name: "pause" });
  assertEquals(ready(), "0");
  await order({ name: "resume" });
  assertEquals(ready(), "1");
  await order({ name: "drain", upstream: "b" });
  assertEquals(ready(), "0");
  assertStringIncludes(
    metricsText([service.view], service.eventCounts, [], FACTS),
    'failover_upstream_role{service="",upstream="b",role="drained"} 1\n',
  );
});

Deno.test("metrics show roles, lag and who may not be chosen, only where checks learn that", async () => {
  await using service = new TestService({ name: "db", policy: ROLES });
  await service.start(
    answeredAs("primary", { position: 5_000 }),
    answeredAs("standby", { position: 4_000, lagSeconds: 2.5 }),
  );
  const text = () =>
    metricsText([service.view], service.eventCounts, service.incidents.counts, FACTS);
  const expect = (...lines: string[]) => {
    for (const line of lines) assertStringIncludes(text(), `${line}\n`);
  };
  expect(
    'failover_server_role{service="db",upstream="a",role="primary"} 1',
    'failover_server_role{service="db",upstream="b",role="primary"} 0',
    'failover_server_role{service="db",upstream="b",role="standby"} 1',
    'failover_server_lag_bytes{service="db",upstream="b"} 1000',
    'failover_server_lag_seconds{service="db",upstream="b"} 2.5',
    'failover_upstream_barred{service="db",upstream="b"} 0',
  );
  assert(!text().includes("failover_server_promotion_duration_seconds"));
  await service.answer("b", answeredAs("primary"));
  await service.answer("a", answeredAs("primary"));
  expect('failover_upstream_barred{service="db",upstream="b"} 1');
  const promoted = { upstream: "b", epoch: 2, tookMs: 1_200 };
  service.events.publish("db", { type: "server.promoted", ...promoted });
  service.events.publish("db", { type: "server.promotionFailed", ...promoted, reason: "refused" });
  expect(
    'failover_server_promotion_duration_seconds_count{service="db",result="finished"} 1',
    'failover_server_promotion_duration_seconds_count{service="db",result="failed"} 1',
  );
  await using other = new TestService({ name: "web" });
  await other.start(PASSED, PASSED);
  const plain = metricsText([other.view], other.eventCounts, other.incidents.counts, FACTS);
  assert(!/failover_server_|failover_upstream_barred/.test(plain), plain);
});
