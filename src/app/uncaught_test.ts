import { assertEquals, assertMatch } from "@std/assert";
import { describe } from "../base/describe.ts";

Deno.test("a fault is described in one line, with its place", () => {
  assertMatch(
    describe(new TypeError("no\nsuch thing")),
    /^TypeError: no such thing \(src\/app\/unc/,
  );
  assertEquals(describe("thrown text"), "thrown text");
  const bare = new Error("x");
  delete bare.stack;
  assertEquals(describe(bare), "Error: x");
});

/** Runs a program that calls `catchUncaught` and prints what is reported to it. */
async function ranWith(code: string): Promise<{ out: string; err: string; code: number }> {
  const guard = new URL("./uncaught.ts", import.meta.url).href;
  const program = `import { catchUncaught } from "${guard}";
    const reported = Promise.withResolvers();
    catchUncaught((reason) => reported.resolve("reported " + reason));
    ${code}
    console.log(await reported.promise);
    console.log("still here");`;
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", program],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { out: text(output.stdout), err: text(output.stderr), code: output.code };
}

Deno.test("a rejection that nobody awaits is reported, and the process continues without output", async () => {
  const ran = await ranWith(`void Promise.reject(new Error("lost"));`);
  assertEquals([ran.out, ran.err, ran.code], ["reported Error: lost\nstill here\n", "", 0]);
});

Deno.test("an exception in a timer is reported, and the process continues without output", async () => {
  const ran = await ranWith(`setTimeout(() => { throw new RangeError("late"); }, 0);`);
  assertEquals([ran.out, ran.err, ran.code], ["reported RangeError: late\nstill here\n", "", 0]);
});
