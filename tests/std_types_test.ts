/**
 * Every package that the import map names has types. A module without declarations would be `any` without
 * a word, and nothing that uses it would be checked. The lines below fail `deno check` then.
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

type IsAny<T> = 0 extends 1 & T ? true : false;

/** Compiles only for a type that is not `any`. */
function typed<T>(name: string, _value: T, _isAny: IsAny<T> extends true ? never : false): string {
  return name;
}

Deno.test("every package of the import map is here, and none of it is any", () => {
  const names = [
    typed("@std/assert", assertEquals, false),
    typed("@std/async/deadline", deadline, false),
    typed("@std/cli/parse-args", parseArgs, false),
    typed("@std/http/etag", eTag, false),
    typed("@std/http/status", STATUS_TEXT, false),
    typed("@std/media-types/content-type", contentType, false),
    typed("@std/text/closest-string", closestString, false),
    typed("@std/text/levenshtein-distance", levenshteinDistance, false),
    typed("@std/yaml", parse, false),
    typed("hono", Hono, false),
  ];
  assertEquals(names, Object.keys(map.imports));
});
