/**
 * Every package that the import map names has types. A module without declarations would silently be `any`,
 * and nothing that uses it would be checked. Each line below is wrong on purpose: if the compiler accepts
 * it, `deno check` reports its directive as unused.
 */
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { parseArgs } from "@std/cli/parse-args";
import { eTag } from "@std/http/etag";
import { STATUS_TEXT } from "@std/http/status";
import { contentType } from "@std/media-types/content-type";
import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";
import { parse } from "@std/yaml";
import { Hono } from "hono";
import map from "../deno.json" with { type: "json" };

/** Only type-checked, never called. */
const MISUSES: Readonly<Record<string, () => unknown>> = {
  // @ts-expect-error the two must have one type
  "@std/assert": () => assertEquals(1, "one"),
  // @ts-expect-error milliseconds are a number
  "@std/async/deadline": () => deadline(Promise.resolve(), "1s"),
  // @ts-expect-error arguments are strings
  "@std/cli/parse-args": () => parseArgs([1]),
  // @ts-expect-error a path is not a file's information
  "@std/http/etag": () => eTag("/path"),
  // @ts-expect-error the text of a status is not a number
  "@std/http/status": () => STATUS_TEXT[200]! * 2,
  // @ts-expect-error an extension is a string
  "@std/media-types/content-type": () => contentType(7),
  // @ts-expect-error the known words are a list
  "@std/text/closest-string": () => closestString("word", "words"),
  // @ts-expect-error two strings have a distance
  "@std/text/levenshtein-distance": () => levenshteinDistance("one"),
  // @ts-expect-error YAML is a string
  "@std/yaml": () => parse(42),
  // @ts-expect-error a path is a string
  "hono": () => new Hono().get(1, () => {}),
};

Deno.test("every package of the import map has a misuse here that the compiler rejects", () => {
  assertEquals(Object.keys(MISUSES), Object.keys(map.imports));
});
