/** The README shows the very scripts that the scenarios run. */
import { assert } from "@std/assert";

const recipes = new URL("./scenarios/recipes/", import.meta.url);

Deno.test("the README's recipes are the scripts that are tested", async () => {
  const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));
  const files = [...Deno.readDirSync(recipes)].map((file) => file.name);
  assert(files.length >= 4);
  for (const file of files) {
    const script = await Deno.readTextFile(new URL(file, recipes));
    assert(readme.includes(script.trimEnd()), `${file} differs from the README`);
  }
});
