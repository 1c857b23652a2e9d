import { assertEquals, assertRejects } from "@std/assert";
import { Folder } from "./folder.ts";
import { fromTemplate } from "./template.ts";

Deno.test("a template is made once for tests that want it at the same time, and each has a copy of its own", async () => {
  await using folder = await Folder.make();
  await Deno.mkdir(folder.at("run"));
  let made = 0;
  const make = async (path: string) => {
    made++;
    await Deno.mkdir(path);
    await Deno.writeTextFile(`${path}/data`, "as made");
  };
  const copies = ["a", "b", "c"];
  const get = (name: string) => fromTemplate("some", folder.at(name), make, folder.at("run"));
  await Promise.all(copies.map(get));
  assertEquals(made, 1);
  await folder.write("a/data", "changed");
  await get("d");
  const texts = await Promise.all([...copies, "d"].map((name) => folder.read(`${name}/data`)));
  assertEquals(texts, ["changed", "as made", "as made", "as made"]);
});

Deno.test("a template that could not be made is made by the next test", async () => {
  await using folder = await Folder.make();
  await Deno.mkdir(folder.at("run"));
  const fails = async (path: string) => {
    await Deno.mkdir(path);
    throw new Error("no space");
  };
  const get = (name: string, make: (path: string) => Promise<void>) =>
    fromTemplate("some", folder.at(name), make, folder.at("run"));
  await assertRejects(() => get("a", fails), Error, "no space");
  await get("b", (path) => Deno.mkdir(path));
  assertEquals((await Deno.stat(folder.at("b"))).isDirectory, true);
});

Deno.test("without a run of all tests a folder is made in its place", async () => {
  await using folder = await Folder.make();
  await fromTemplate("some", folder.at("a"), (path) => Deno.mkdir(path), undefined);
  assertEquals((await Deno.stat(folder.at("a"))).isDirectory, true);
});
