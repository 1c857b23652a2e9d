import { assert } from "@std/assert";
import { threadsUnsupportedReason } from "./unsupported_reason.ts";

const SCRIPT = new URL("./thread.ts", import.meta.url);

for (const [lacks, permissions] of [["ffi", { read: true }], ["read", { ffi: true }]] as const) {
  Deno.test({
    name: `without the permission "${lacks}" there are no threads, and the reason says so`,
    ignore: Deno.build.os !== "linux",
    permissions,
    fn() {
      assert(threadsUnsupportedReason(SCRIPT)?.includes(`--allow-${lacks}`));
    },
  });
}
