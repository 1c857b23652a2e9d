import { assert, assertEquals } from "@std/assert";
import { random } from "../http1/testing/mutations.ts";
import { isPathTraversal } from "./path_traversal.ts";

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
    "/..%3Bv=1/x",
    "/a/;x/../../y",
    "/..?q",
    "//../x",
  ];
  for (const path of paths) assertEquals(isPathTraversal(path), true, path);
});

Deno.test("a path that stays below its start passes unchanged, with its dots", () => {
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
  for (const path of paths) assertEquals(isPathTraversal(path), false, path);
});

/** Resolves dots in the names between slashes; "" for a slash too many counts as a name if `keepsEmpty`. */
function resolved(path: string, keepsEmpty: boolean): string[] | "outside" {
  const names: string[] = [];
  for (const name of path.split("/").slice(1)) {
    if (name === ".." && names.pop() === undefined) return "outside";
    if (name !== ".." && name !== "." && (keepsEmpty || name !== "")) names.push(name);
  }
  return names;
}

/** Ways in which servers split a raw path into names. */
const READERS: readonly ((path: string) => string)[] = [
  (path) => path,
  (path) => path.replace(/%2e/gi, "."),
  decodeURIComponent,
  (path) => path.replaceAll("\\", "/"),
  (path) => decodeURIComponent(path).replaceAll("\\", "/"),
  (path) => path.replace(/;[^/]*/g, ""),
  (path) => decodeURIComponent(path.replace(/;[^/]*/g, "")),
  (path) => decodeURIComponent(path).replaceAll("\\", "/").replace(/;[^/]*/g, ""),
];

Deno.test("a path that passes stays inside for every server, whatever it consists of", () => {
  const pieces = "/|/|/|..|.|%2e|%2E|%2f|%5C|\\|;|;x=1|a|b%20|%2e%2e".split("|");
  const next = random(5);
  const seen = { climbing: 0, staying: 0 };
  for (let round = 0; round < 40_000; round++) {
    let path = "/";
    for (let count = next(10); count > 0; count--) path += pieces[next(pieces.length)];
    if (isPathTraversal(path)) {
      seen.climbing++;
      continue;
    }
    seen.staying++;
    for (const [i, read] of READERS.entries()) {
      for (const keepsEmpty of [false, true]) {
        const isOut = resolved(read(path), keepsEmpty) === "outside";
        assert(!isOut, `reader ${i} goes out of ${path}`);
      }
    }
    // The browsers' rules, which many servers share.
    const { pathname } = new URL(`http://a.example/base${path}`);
    assert(/^\/base(\/|$)/.test(pathname), `${path} becomes ${pathname}`);
  }
  assert(seen.climbing > 1_000 && seen.staying > 1_000, JSON.stringify(seen));
});
