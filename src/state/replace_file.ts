/** Files that are replaced as a whole, so that a crash or a power cut leaves the old text or the new one. */

/** Permission bits: the contents are confidential. */
const FILE_MODE = 0o600;

/**
 * Replaces the text of a file: written beside it, synced, renamed, and then the folder is synced (rename(2),
 * fsync(2)). Rejects with the error of the file system, and the file is then as it was. A long text is
 * written in parts, so that other work can run in between.
 */
export async function replaceFile(path: string, text: string | Iterable<string>): Promise<void> {
  const fresh = `${path}.new`;
  {
    const options = { write: true, create: true, truncate: true, mode: FILE_MODE };
    using file = await Deno.open(fresh, options);
    for (const part of typeof text === "string" ? [text] : text) await writeWhole(file, part);
    await file.sync();
  }
  await Deno.rename(fresh, path);
  await syncFolder(path.replace(/[/\\]*[^/\\]+$/, "") || "/");
}

/** Writes all of the text, at the place where the file is. */
export async function writeWhole(file: Deno.FsFile, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/** Makes sure that a new name in the folder survives a power cut, if the system can do that. */
async function syncFolder(path: string): Promise<void> {
  // Windows opens no folders.
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync();
}
