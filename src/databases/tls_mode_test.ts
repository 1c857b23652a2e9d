import { assertEquals, assertRejects } from "@std/assert";
import { inTempFolder } from "../base/testing/temp_folder.ts";
import { LoginRefused } from "./server.ts";
import { tlsFrom } from "./tls_mode.ts";

Deno.test("the usual mode holds unless the operator says something", async () => {
  assertEquals(await tlsFrom({}, "disable"), undefined);
  assertEquals(await tlsFrom({ tlsMode: "disable" }, "prefer"), undefined);
  assertEquals(await tlsFrom({}, "prefer"), { isRequired: false, settings: { verify: "none" } });
  assertEquals((await tlsFrom({ tlsMode: "require" }, "disable"))!.settings.verify, "none");
  assertEquals((await tlsFrom({ tlsMode: "verify-ca" }, "disable"))!.settings.verify, "ca");
});

Deno.test("with authorities everything is verified, if no mode says otherwise", async () => {
  await inTempFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/ca`, "PEM");
    assertEquals(await tlsFrom({ tlsCa: `${folder}/ca` }, "disable"), {
      isRequired: true,
      settings: { verify: "full", ca: "PEM" },
    });
    await assertRejects(() => tlsFrom({ tlsCa: `${folder}/no` }, "prefer"), LoginRefused);
  });
});
