import { assertEquals } from "@std/assert";
import { configOf } from "../config/testing/config.ts";
import { checkAdminToken, readAdminToken } from "./admin_token.ts";

Deno.test("a token file contains one word; anything else is an error of one line", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const at = `${folder}/token`;
    const errorOf = async (text: string) => {
      await Deno.writeTextFile(at, text);
      const read = await readAdminToken(at);
      return "error" in read ? read.error : `token ${read.token}`;
    };
    assertEquals(await errorOf("s3cret\n"), "token s3cret");
    for (const text of ["", "\n", "two words", "w\u00f6rd"]) {
      assertEquals(await errorOf(text), "it does not hold one word", JSON.stringify(text));
    }
    assertEquals(await errorOf("x".repeat(5_000)), "it is longer than 4096 bytes");
    assertEquals(await readAdminToken(folder), { error: "it is a directory" });

    const { process } = configOf([
      ...["--hosts=a:1", "--port=1", `--admin-token-file=${folder}/none`],
    ]);
    assertEquals(
      await checkAdminToken(process),
      `Cannot use "${folder}/none" as admin_token_file: there is no such file (from flag --admin-token-file)`,
    );
    assertEquals(await checkAdminToken(configOf(["--hosts=a:1", "--port=1"]).process), undefined);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
