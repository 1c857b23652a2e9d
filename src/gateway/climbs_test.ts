import { assertEquals } from "@std/assert";
import { climbs } from "./climbs.ts";

Deno.test("a path that may lead above its start is found, in every spelling that some server reads", () => {
  const paths = [
    "/..",
    "/../x",
    "/a/../../x",
    "/a/b/../../../x",
    "/a/..//../x",
    "/a//../../x",
    "/a/./../../x",
    "/a/%2e/../../x",
    "/%2e%2e/x",
    "/.%2E/x",
    "/%2e./x",
    "/a/%2e%2e/%2e%2e/x",
    "/..%2fx",
    "/..%5Cx",
    "/..\\x",
    "/a\\..\\..\\x",
    "/a/..%2f..%2fx",
    "/a%2fb/../../x",
    "/..;/x",
    "/..;v=1/x",
    "/a/;x/../../y",
    "/..?q",
    "//../x",
  ];
  for (const path of paths) assertEquals(climbs(path), true, path);
});

Deno.test("a path that stays below its start passes as it is, dots and all", () => {
  const paths = [
    "/",
    "/a/..",
    "/a/../b",
    "/a/b/../../c",
    "/a/%2e%2e/b",
    "/...",
    "/..a/b",
    "/a../b",
    "/a..b/c",
    "/a?x=/../../y",
    "/?../..",
    "/a/%2f/b",
    "/v1.2..v1.3",
    "*",
  ];
  for (const path of paths) assertEquals(climbs(path), false, path);
});
