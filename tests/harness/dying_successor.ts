/**
 * The real proxy as the new process of an upgrade, in which something dies at one step: itself, or the process that it
 * takes over from. The environment of the first process says what, and at which step.
 */
import { Takeover } from "../../src/upgrade/takeover.ts";

const [victim, ...words] = (Deno.env.get("TEST_DIES") ?? "").split(" ");
const step = words.join(" ");

function die(at: string): void {
  if (step !== at) return;
  if (victim === "old") Deno.kill(Deno.ppid, "SIGKILL");
  if (victim === "new") Deno.kill(Deno.pid, "SIGKILL");
}

const { hello, ready, took } = Takeover.prototype;
Takeover.prototype.hello = async function () {
  die("before hello");
  const inheritance = await hello.call(this);
  die("after hello");
  return inheritance;
};
Takeover.prototype.ready = async function () {
  die("before ready");
  const memories = await ready.call(this);
  die("after ready");
  return memories;
};
Takeover.prototype.took = async function () {
  die("before took");
  await took.call(this);
  die("after took");
};

await import("../../src/main.ts");
