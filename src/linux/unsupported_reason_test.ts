import { assertEquals } from "@std/assert";
import { kernelUnsupportedReason } from "./unsupported_reason.ts";

/** The output of a separate process with these permissions; it must not prompt, on a terminal or not. */
async function outputWith(...permissions: string[]): Promise<[stdout: string, stderr: string]> {
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  const main = `${folder}/main.ts`;
  const module = new URL("./unsupported_reason.ts", import.meta.url);
  const program = `import { kernelUnsupportedReason } from ${JSON.stringify(module)};
    console.log(String(kernelUnsupportedReason()));`;
  await Deno.writeTextFile(main, program);
  const args = ["run", "--quiet", "--no-check", ...permissions, main];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  await Deno.remove(folder, { recursive: true });
  return [new TextDecoder().decode(stdout).trim(), new TextDecoder().decode(stderr).trim()];
}

Deno.test({
  name:
    "on Linux with all that is needed there is no reason, and finding that out leaves nothing open",
  ignore: Deno.build.os !== "linux",
  fn() {
    assertEquals([kernelUnsupportedReason(), kernelUnsupportedReason()], [undefined, undefined]);
  },
});

Deno.test({
  name: "without the permission the reason names it, and nobody is prompted",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const missing = "calling libc is not permitted (--allow-ffi)";
    assertEquals(await outputWith(), [missing, ""]);
    assertEquals(await outputWith("--allow-ffi"), ["undefined", ""]);
  },
});

if (Deno.build.os !== "linux") {
  Deno.test("on other systems the reason is that it needs Linux", () => {
    assertEquals(kernelUnsupportedReason(), `it needs Linux, and this is ${Deno.build.os}`);
  });
}
