import { assertEquals } from "@std/assert";
import { configOf, httpOf } from "../config/testing/config.ts";
import { NO_THREADS, speaksTls, startThreads, workersOf } from "./threads.ts";

const TCP = ["--port", "1", "--hosts", "a:1"];

Deno.test("there is one thread unless the operator says otherwise, and auto is at least one", () => {
  assertEquals(workersOf(configOf(TCP)), 1);
  assertEquals(workersOf(configOf([...TCP, "--workers", "3"])), 3);
  assertEquals(workersOf(configOf([...TCP, "--workers", "auto"])) >= 1, true);
});

Deno.test("TLS on either side keeps a service from the threads", () => {
  const speaks = (...args: string[]) => speaksTls(httpOf(args));
  assertEquals(speaks("--primary", "http://a", "--backup", "http://b"), false);
  assertEquals(speaks("--primary", "http://a", "--backup", "https://b"), true);
  assertEquals(speaks("--primary", "https://a", "--backup", "page:/x.html"), true);
});

Deno.test("no threads are started for services that need none", async () => {
  const { services } = configOf([...TCP, "--relay", "stream"]);
  await using threads = await startThreads(services, 2, () => {});
  assertEquals([threads.group, threads.descriptors], [undefined, 0]);
  assertEquals([NO_THREADS.group, NO_THREADS.asked], [undefined, 1]);
});
