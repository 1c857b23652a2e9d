/** Every story of the gateway is told over both protocols, or `TOLD_ONCE` says why not. */
import { assertEquals } from "@std/assert";
import { TOLD_ONCE } from "./told_once.ts";

/** Whatever begins a test and is not `onBothProtocols`; the name comes first, or an expression that gives it. */
const ONCE =
  /\b(?:Deno\.test|scenario|testWithPrograms|tlsTest|onBothSockets)\(\s*(?:"([^"]+)"|`([^`]+)`|([^,]+))/g;

Deno.test("stories that are told over one protocol only are those of the table", async () => {
  const folder = new URL(".", import.meta.url);
  const found: Record<string, string[]> = {};
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith("_test.ts") || name === "told_once_test.ts") continue;
    const text = await Deno.readTextFile(new URL(name, folder));
    const names = [...text.matchAll(ONCE)].map((each) => each.slice(1).find(Boolean)!);
    if (names.length > 0) found[name] = names.sort();
  }
  const listed = Object.entries(TOLD_ONCE).map(([file, stories]) =>
    [file, Object.keys(stories).sort()] as const
  );
  assertEquals(found, Object.fromEntries(listed));
});
