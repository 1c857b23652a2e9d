import { assertEquals } from "@std/assert";
import { findCheck, findTriggers, PROGRAMS_MAX } from "./find.ts";
import { ProgramFolder } from "./testing/program.ts";

const nothing = { programs: [], errors: [], warnings: [] };

Deno.test("a check with a #! line is found without a warning", async () => {
  await using folder = await ProgramFolder.make();
  const path = await folder.script("check", "exit 0");
  assertEquals(await findCheck(path), { ...nothing, programs: [path] });
});

Deno.test("a compiled program is found without a warning", async () => {
  const path = Deno.execPath();
  assertEquals(await findCheck(path), { ...nothing, programs: [path] });
});

Deno.test("a check that is missing, a directory or not executable is an error", async () => {
  await using folder = await ProgramFolder.make();
  const plain = await folder.write("plain", "#!/bin/sh\n", 0o644);
  const fifo = await folder.fifo("fifo");
  for (
    const [path, what] of [
      [`${folder.path}/none`, "no such file"],
      [`${plain}/none`, "no such file"],
      [folder.path, "is a directory"],
      [plain, "is not executable (chmod +x it)"],
      [fifo, "is not a file"],
    ] as const
  ) {
    assertEquals(await findCheck(path), { ...nothing, errors: [`${path}: ${what}`] });
  }
});

Deno.test("a script whose interpreter is missing is an error, also if only a stray CR is wrong", async () => {
  await using folder = await ProgramFolder.make();
  for (const interpreter of ["/no/such/shell", "/bin/sh\r"]) {
    const path = await folder.write("check", `#! ${interpreter}\nexit 0\n`);
    const what = `names an interpreter that is missing: ${JSON.stringify(interpreter)}`;
    assertEquals(await findCheck(path), { ...nothing, errors: [`${path}: ${what}`] });
  }
});

Deno.test("a script without #! line is a warning, as /bin/sh runs it", async () => {
  await using folder = await ProgramFolder.make();
  const path = await folder.write("check", "exit 0\n");
  const warnings = [`${path}: has no #! line; /bin/sh will run it`];
  assertEquals(await findCheck(path), { programs: [path], errors: [], warnings });
});

Deno.test("triggers may be one file, which is examined like a check", async () => {
  await using folder = await ProgramFolder.make();
  const path = await folder.script("trigger", "exit 0");
  assertEquals(await findTriggers(path), { ...nothing, programs: [path] });
  const missing = `${folder.path}/none`;
  assertEquals(await findTriggers(missing), {
    ...nothing,
    errors: [`${missing}: no such file`],
  });
});

Deno.test("a directory of triggers gives its executable files in byte order", async () => {
  await using folder = await ProgramFolder.make();
  const names = ["10-a", "9-b", "B", "a", "\u{1f600}", "\uffee", "ä"];
  for (const name of names) await folder.script(name, "exit 0");
  const expected = ["10-a", "9-b", "B", "a", "ä", "\uffee", "\u{1f600}"];
  assertEquals(await findTriggers(`${folder.path}/`), {
    ...nothing,
    programs: expected.map((name) => `${folder.path}/${name}`),
  });
});

Deno.test("a directory of triggers follows links, as in a mounted ConfigMap", async () => {
  await using folder = await ProgramFolder.make();
  await Deno.mkdir(`${folder.path}/..data`);
  const real = await folder.script("..data/promote", "exit 0");
  await Deno.symlink(real, `${folder.path}/promote`);
  assertEquals(await findTriggers(folder.path), {
    ...nothing,
    programs: [`${folder.path}/promote`],
  });
});

Deno.test("each file in a directory of triggers that will not run is reported in one line", async () => {
  await using folder = await ProgramFolder.make();
  const good = await folder.script("50-good", "exit 0");
  await folder.write("10-plain", "#!/bin/sh\n", 0o644);
  await folder.script(".hidden", "exit 0");
  await folder.script("20-old~", "exit 0");
  await folder.script("30-old.bak", "exit 0");
  await Deno.mkdir(`${folder.path}/40-folder`);
  await Deno.symlink("/no/such/file", `${folder.path}/60-dangling`);
  const found = await findTriggers(folder.path);
  assertEquals(found, {
    programs: [good],
    errors: [],
    warnings: [
      `${folder.path}/.hidden: is hidden or a left-over copy; it will not run`,
      `${folder.path}/10-plain: is not executable (chmod +x it); it will not run`,
      `${folder.path}/20-old~: is hidden or a left-over copy; it will not run`,
      `${folder.path}/30-old.bak: is hidden or a left-over copy; it will not run`,
      `${folder.path}/40-folder: is a directory; it will not run`,
      `${folder.path}/60-dangling: no such file; it will not run`,
    ],
  });
});

Deno.test("a directory with no program is a warning, one with too many an error", async () => {
  await using folder = await ProgramFolder.make();
  const { path } = folder;
  assertEquals(await findTriggers(path), {
    ...nothing,
    warnings: [`${path}: has no program to run`],
  });
  for (let n = 0; n <= PROGRAMS_MAX; n++) await folder.script(`${n}`, "exit 0");
  const what = `has ${PROGRAMS_MAX + 1} programs, more than ${PROGRAMS_MAX}`;
  assertEquals(await findTriggers(path), { ...nothing, errors: [`${path}: ${what}`] });
});
