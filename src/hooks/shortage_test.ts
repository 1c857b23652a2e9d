import { assert, assertEquals, assertThrows } from "@std/assert";
import { isProgramShortage } from "./shortage.ts";
import { ProgramFolder } from "./testing/program.ts";

Deno.test({
  name: "a program that is being written is a shortage, as the error of the kernel shows",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using folder = await ProgramFolder.make();
    const path = await folder.script("busy", "exit 0");
    using _ = await Deno.open(path, { append: true });
    const error = assertThrows(() => new Deno.Command(path).spawn(), Error);
    assert(isProgramShortage(error), error.message);
  },
});

Deno.test("a program that is missing is no shortage, nor is anything that is not an error", () => {
  const missing = assertThrows(() => new Deno.Command("/no/such/program").spawn(), Error);
  assertEquals([missing, "EMFILE", undefined].map(isProgramShortage), [false, false, false]);
});

Deno.test("exhausted descriptors, processes and memory are shortages; a wrong file format is not", () => {
  const withCode = (code: string) =>
    isProgramShortage(Object.assign(new Error("failed"), { code }));
  assertEquals(["EMFILE", "ENFILE", "EAGAIN", "ENOMEM"].map(withCode), [true, true, true, true]);
  assertEquals(["ENOEXEC", "EACCES"].map(withCode), [false, false]);
});
