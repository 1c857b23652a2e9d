import { assertEquals } from "@std/assert";
import { tlsUnsupportedReason } from "./tls_unsupported_reason.ts";

/** The reason in a separate process with these permissions and variables; it must not prompt. */
async function reasonWith(permissions: string[], env: Record<string, string> = {}) {
  const module = new URL("./tls_unsupported_reason.ts", import.meta.url);
  const program = `import { tlsUnsupportedReason } from ${JSON.stringify(module)};
    console.log(String(tlsUnsupportedReason()));`;
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  await Deno.writeTextFile(`${folder}/main.ts`, program);
  const args = ["run", "--quiet", "--no-check", ...permissions, `${folder}/main.ts`];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, env }).output();
  await Deno.remove(folder, { recursive: true });
  return new TextDecoder().decode(stdout).trim() + new TextDecoder().decode(stderr);
}

Deno.test({
  name: "without the permission, or with another library in its place, the reason says so",
  ignore: Deno.build.os !== "linux" || tlsUnsupportedReason() !== undefined,
  async fn() {
    assertEquals(await reasonWith(["--allow-ffi"]), "undefined");
    assertEquals(await reasonWith([]), "calling libc is not permitted (--allow-ffi)");
    const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
    // A file that is no library stands where the loader looks first.
    await Deno.writeTextFile(`${folder}/libssl.so.3`, "no library");
    const reason = await reasonWith(["--allow-ffi"], { LD_LIBRARY_PATH: folder });
    await Deno.remove(folder, { recursive: true });
    assertEquals(/libssl\.so\.3/.test(reason), true, reason);
  },
});

if (Deno.build.os !== "linux") {
  Deno.test("on other systems the reason is that it needs Linux", () => {
    assertEquals(tlsUnsupportedReason(), `it needs Linux, and this is ${Deno.build.os}`);
  });
}
