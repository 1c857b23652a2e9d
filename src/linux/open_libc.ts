/**
 * The C library of this thread, which all `Libc` objects share. Opening it takes milliseconds, and memory that does
 * not come back when it is closed, because a function is compiled for each entry of the table.
 */
import { LIBC } from "./libc_table.ts";

type Library = Deno.DynamicLibrary<typeof LIBC>;

let opened: { readonly library: Library; users: number } | undefined;

/** Opens it if nobody uses it yet. Throws what `Deno.dlopen` throws. Each call needs one of `closeLibc`. */
export function openLibc(): Library["symbols"] {
  opened ??= { library: Deno.dlopen("libc.so.6", LIBC), users: 0 };
  opened.users++;
  return opened.library.symbols;
}

/** Closes it if nobody else uses it. */
export function closeLibc(): void {
  if (opened === undefined || --opened.users > 0) return;
  opened.library.close();
  opened = undefined;
}
