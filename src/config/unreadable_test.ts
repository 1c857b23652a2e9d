import { assertEquals, assertMatch } from "@std/assert";
import { whyUnreadable } from "./unreadable.ts";

Deno.test("a path that cannot be read is explained, whether it or a folder of it is missing", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/file`, "");
    const why = (path: string) => Deno.readFile(`${folder}/${path}`).catch(whyUnreadable);
    assertEquals(await why("missing"), "there is no such file");
    assertEquals(await why("file/below"), "there is no such file");
    assertEquals(await why(""), "it is a directory");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name:
    "an error of the system is explained without the call and the path, which the line has already",
  ignore: Deno.build.os === "windows",
  async fn() {
    const error = await Deno.readFile("x".repeat(5_000)).catch((error) => error);
    assertMatch(whyUnreadable(error), /^File name too long \(os error \d+\)$/);
  },
});

Deno.test("any other error is explained by its message", () => {
  assertEquals(whyUnreadable(new Deno.errors.PermissionDenied("x")), "permission denied");
  assertEquals([whyUnreadable(new Error("too large")), whyUnreadable("odd")], ["too large", "odd"]);
});
