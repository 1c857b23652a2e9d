/** For tests that call the real kernel: they are skipped on every other system. */
export const onLinux = { ignore: Deno.build.os !== "linux" };
