import { assert } from "@std/assert";
import { DEFAULT_PAGE } from "./error_page.ts";

Deno.test("the built-in page is a complete document that loads nothing from other hosts", () => {
  const text = new TextDecoder().decode(DEFAULT_PAGE.bytes);
  assert(DEFAULT_PAGE.contentType.startsWith("text/html"));
  assert(/^<!doctype html>[^]*<\/html>\n$/.test(text));
  assert(!/https?:|src=|href=/.test(text));
});
