import { assert, assertEquals } from "@std/assert";
import { configOf, httpOf, tcpOf } from "../config/testing/config.ts";
import {
  descriptors,
  hasOtherHosts,
  incidentServiceOf,
  logSettingsOf,
  primaryOf,
} from "./report_facts.ts";

const TCP = ["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9"];

Deno.test("the primary is the first upstream, in both modes", () => {
  assertEquals(primaryOf(tcpOf(TCP)), "a:1");
  assertEquals(primaryOf(httpOf(["--primary", "http://a", "--backup", "http://b"])), "http://a");
  const { name, primary, configHash } = incidentServiceOf(tcpOf(TCP));
  assertEquals([name, primary, configHash.length], ["tcp", "a:1", 16]);
});

Deno.test("the log is written as the options say, and names of hosts are compared", () => {
  const config = configOf([...TCP, "--json-logs", "--log-level", "warn"]);
  assertEquals(logSettingsOf(config), { level: "warn", json: true });
  const admin = ["--admin", "127.0.0.1:8", "--admin-hosts"];
  const [one, other] = [configOf([...TCP, ...admin, "a"]), configOf([...TCP, ...admin, "b"])];
  assertEquals([hasOtherHosts(one, one), hasOtherHosts(one, other)], [false, true]);
});

Deno.test("descriptors are counted where the system tells them", () => {
  const counted = descriptors();
  assert(counted === undefined || counted.open < counted.max);
});
