/** A file system of a few pages, for tests of what a full disk does. Only root can mount it, on Linux. */
import { assert } from "@std/assert";

/** Whether this process can mount one. */
export const CAN_MOUNT = Deno.build.os === "linux" && Deno.uid() === 0;

/** Mounts an empty tmpfs (tmpfs(5)) of so many bytes over the folder, until disposal. */
export async function mountSmallDisk(folder: string, bytes: number): Promise<AsyncDisposable> {
  const run = async (...[program, ...args]: string[]) => {
    const { success, stderr } = await new Deno.Command(program!, { args }).output();
    assert(success, new TextDecoder().decode(stderr));
  };
  await run("mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", folder);
  // Lazily: a program that another test starts at this moment holds the files that were open here.
  return { [Symbol.asyncDispose]: () => run("umount", "--lazy", folder) };
}
