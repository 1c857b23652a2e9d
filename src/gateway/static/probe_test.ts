import { assertEquals } from "@std/assert";
import { realClock } from "../../base/clock.ts";
import { staticProbe } from "./probe.ts";

Deno.test("the check of a static backup tests whether its file or folder exists", async () => {
  const folder = await Deno.makeTempDir();
  await using _at = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await Deno.writeTextFile(`${folder}/index.html`, "");
  const ask = async (kind: "folder" | "page", path: string) => {
    const probe = staticProbe(kind, path, realClock);
    const upstream = { name: path, address: { kind: "unix", path } as const, rank: 1 };
    const context = { lastChosen: undefined, epoch: 0, phase: "selecting" } as const;
    return (await probe(upstream, context, new AbortController().signal)).passed;
  };
  assertEquals(await ask("folder", folder), true);
  assertEquals(await ask("folder", `${folder}/index.html`), false);
  assertEquals(await ask("page", `${folder}/index.html`), true);
  assertEquals(await ask("page", `${folder}/none`), false);
});
