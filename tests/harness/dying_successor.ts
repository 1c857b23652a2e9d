/**
 * The real proxy as the new process of an upgrade, in which something dies at one step: itself, or the process that it
 * takes over from. The environment of the first process says what, and at which step; and where `TEST_WAITS` names a
 * path, it first makes the file `PATH.there` and waits for the file `PATH`.
 */
import { Takeover } from "../../src/upgrade/takeover.ts";

const [victim, ...words] = (Deno.env.get("TEST_DIES") ?? "").split(" ");
const step = words.join(" ");

const gate = Deno.env.get("TEST_WAITS");

async function die(at: string): Promise<void> {
  if (step !== at) return;
  if (gate !== undefined) {
    await Deno.writeTextFile(`${gate}.there`, "");
    const isOpen = () => Deno.stat(gate).then(() => true, () => false);
    while (!await isOpen()) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (victim === "old") Deno.kill(Deno.ppid, "SIGKILL");
  if (victim === "new") Deno.kill(Deno.pid, "SIGKILL");
}

const { hello, ready, took } = Takeover.prototype;
Takeover.prototype.hello = async function () {
  await die("before hello");
  const inheritance = await hello.call(this);
  await die("after hello");
  return inheritance;
};
Takeover.prototype.ready = async function () {
  await die("before ready");
  const memories = await ready.call(this);
  await die("after ready");
  return memories;
};
Takeover.prototype.took = async function () {
  await die("before took");
  await took.call(this);
  await die("after took");
};

await import("../../src/main.ts");
