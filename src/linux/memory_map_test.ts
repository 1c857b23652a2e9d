import { assertEquals } from "@std/assert";
import { unchangedFiles } from "./memory_map.ts";

/** One mapping, as the kernel prints it, without the lines that are not parsed. */
function mapping(line: string, anonymousKb = 0, swapKb = 0): string {
  return `${line}
Rss:                 100 kB
Anonymous:      ${`${anonymousKb}`.padStart(8)} kB
AnonHugePages:         4 kB
Swap:           ${`${swapKb}`.padStart(8)} kB
SwapPss:               0 kB
VmFlags: rd ex mr mw me
`;
}

const code = "55d63d2f6000-55d640fea000 r-xp 01e02000 fe:00 1311 /opt/a program";
const constants = "7f2965482000-7f29654a8000 r--p 00000000 fe:00 77 /usr/lib/libc.so.6";

Deno.test("code and constants of files can be dropped", () => {
  assertEquals(unchangedFiles(mapping(code) + mapping(constants)), [
    { from: 0x55d63d2f6000n, to: 0x55d640fea000n },
    { from: 0x7f2965482000n, to: 0x7f29654a8000n },
  ]);
});

Deno.test("mappings that were written to, that are writable or that have no file stay", () => {
  const kept = [
    mapping(code, 4),
    mapping(code, 0, 4),
    mapping("55d640fea000-55d64125c000 rw-p 05af6000 fe:00 1311 /opt/program"),
    mapping("7f2953000000-7f29535b9000 rw-s 00000000 fe:00 12 /var/cache"),
    mapping("7f295c0f7000-7f295c138000 r-xp 00000000 00:00 0"),
    mapping("7ffcbc9f0000-7ffcbc9f2000 r-xp 00000000 00:00 0                          [vdso]"),
    mapping("7f2952468000-7f29524bc000 ---p 00000000 fe:00 1311 /opt/program"),
  ];
  assertEquals(unchangedFiles(kept.join("")), []);
  assertEquals(unchangedFiles(kept.join("") + mapping(constants)).length, 1);
});

Deno.test("without a list nothing is dropped", () => {
  assertEquals(unchangedFiles(""), []);
});
