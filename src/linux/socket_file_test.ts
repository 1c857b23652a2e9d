import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { EACCES } from "./errno.ts";
import { removeSocketFile, setSocketMode, socketFileId } from "./socket_file.ts";

Deno.test("the file of a socket is removed, and no other", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/a.sock`;
  using _listener = Deno.listen({ transport: "unix", path });
  assertEquals(setSocketMode(path, 0o600), 0);
  assertEquals((await Deno.lstat(path)).mode! & 0o777, 0o600);
  assertEquals([removeSocketFile(path), removeSocketFile(path)], [0, 0]);
  await assertRejects(() => Deno.lstat(path), Deno.errors.NotFound);
  await Deno.writeTextFile(path, "not a socket");
  assertEquals(removeSocketFile(path), 0);
  assertEquals(await Deno.readTextFile(path), "not a socket");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a file that is not there has no mode to set", () => {
  assertEquals(setSocketMode("/nonexistent/a.sock", 0o600), -EACCES);
});

Deno.test("only our own socket file is removed, and no other file at the same path", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/a.sock`;
  assertEquals(socketFileId(path), undefined);
  const first = Deno.listen({ transport: "unix", path });
  const id = socketFileId(path)!;
  // Kept, so that its number cannot be used again at once.
  await Deno.rename(path, `${folder}/old.sock`);
  const second = Deno.listen({ transport: "unix", path });
  assertEquals(removeSocketFile(path, id), 0);
  assertNotEquals(socketFileId(path), undefined);
  assertEquals(removeSocketFile(path, socketFileId(path)), 0);
  assertEquals(socketFileId(path), undefined);
  first.close();
  second.close();
  await Deno.remove(folder, { recursive: true });
});
