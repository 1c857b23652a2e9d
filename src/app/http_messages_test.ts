import { assertEquals } from "@std/assert";
import { httpOf } from "../config/testing/config.ts";
import {
  accountForDeadHttpShard,
  HTTP_COUNTERS,
  httpConfigOf,
  plainConfig,
} from "./http_messages.ts";

Deno.test("a config arrives in a thread as it was sent", () => {
  const config = httpOf([
    "--primary=http://user:word@a.test:8080/base",
    "--backup=http://b.test",
    "--backup=page:/sorry.html",
    "--check-status=200,300-399",
  ]);
  assertEquals(httpConfigOf(structuredClone(plainConfig(config))), config);
});

Deno.test("a config without a backup arrives without a usable one", () => {
  const config = httpOf(["--primary=http://a.test"]);
  const { backup, ...rest } = httpConfigOf(structuredClone(plainConfig(config)));
  const { backup: _none, ...sent } = config;
  assertEquals([backup, rest], [[], sent as never]);
});

Deno.test("the exchanges of a dead thread count as lost", () => {
  const counters = new Float64Array(HTTP_COUNTERS.length);
  const at = (name: (typeof HTTP_COUNTERS)[number]) => HTTP_COUNTERS.indexOf(name);
  counters[at("active")] = 3;
  counters[at("held")] = 2;
  counters[at("lost")] = 1;
  assertEquals(accountForDeadHttpShard(counters), 3);
  assertEquals([at("active"), at("held"), at("lost")].map((place) => counters[place]), [0, 0, 4]);
});
