/**
 * Builds the browser's side: `dist/`, what the npm package carries, and the two files that the server delivers.
 *
 *     node build.mjs                   build both
 *     node build.mjs --package FOLDER  build the package's modules only, into another folder
 *     node build.mjs --check           build only in memory, and fail if the server's files are not what comes out
 *     node build.mjs --sizes           print what each part takes, minified and gzipped, as JSON
 */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** The worker is a file of its own, which pages without shared workers load when they need it. */
const workerApart = {
  name: "worker-apart",
  setup: (/** @type {import("esbuild").PluginBuild} */ { onResolve }) =>
    onResolve({ filter: /^\.\/worker\.js$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: "./worker.js", external: true } : undefined,
    ),
};

const withoutClient = {
  name: "without-client",
  setup: (/** @type {import("esbuild").PluginBuild} */ { onResolve }) =>
    onResolve({ filter: /\/client\.js$/ }, ({ path }) => ({ path, external: true })),
};

/** Style stands in the elements' modules, as text: what is there for its readers is left out. */
const styleWithoutSpace = {
  name: "style-without-space",
  setup: (/** @type {import("esbuild").PluginBuild} */ { onLoad }) =>
    onLoad({ filter: /\/elements\/\w+\.js$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      return { contents: source.replace(/(?<=(?:styles\(|COMMON = )`\n)[^`]*(?=`)/g, squeezeStyle), loader: "js" };
    }),
};

/** @param {string} css */
function squeezeStyle(css) {
  return css
    .replace(/\/\*.*?\*\//gs, "")
    .replace(/\s+/g, " ")
    .replace(/ ?([{};,>]) ?/g, "$1")
    .replace(/: /g, ":")
    .replace(/;\}/g, "}")
    .trim();
}

const here = fileURLToPath(new URL(".", import.meta.url));
const served = join(here, "../presence_server/static");
const TARGET = ["es2022", "chrome111", "firefox115", "safari16.4"];
const COMMON = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: TARGET,
  charset: "utf8",
  external: ["react"],
  plugins: [workerApart, styleWithoutSpace],
  write: false,
  logLevel: "warning",
  legalComments: "none",
};

/** @param {Record<string, string>} entryPoints @param {object} [options] */
async function bundle(entryPoints, options = {}) {
  const { outputFiles } = await build({ ...COMMON, entryPoints, outdir: "out", ...options });
  return outputFiles.map(({ path, contents }) => ({ name: basename(path), contents: Buffer.from(contents) }));
}

/** What keeps their room before the elements are there. */
const styles = async (/** @type {string} */ name) => ({
  name,
  contents: await readFile(join(here, "src/elements/elements.css")),
});

/** What the server delivers: everything in one file, the worker, and style that comes before both. */
async function forServer() {
  const files = await bundle({ presence: "src/bundle.js", worker: "src/client/worker.js" }, { minify: true });
  return [...files, await styles("presence.css")];
}

/** The package's modules, which share their parts. */
async function forPackage() {
  const entries = ["client", "react", "testing"].map((name) => [name, `src/${name}.js`]);
  const others = { elements: "src/elements/index.js", worker: "src/client/worker.js" };
  const files = await bundle({ ...Object.fromEntries(entries), ...others }, { splitting: true });
  // Types that no module makes: `tsc` writes those of the others.
  const tags = { name: "types/jsx.d.ts", contents: await readFile(join(here, "src/jsx.d.ts")) };
  return [...files, await styles("elements.css"), tags];
}

/** @param {string} folder @param {{name: string, contents: Buffer}[]} files */
async function write(folder, files) {
  for (const { name, contents } of files) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, contents);
  }
}

async function check() {
  let stale = false;
  for (const { name, contents } of await forServer()) {
    const found = await readFile(join(served, name)).catch(() => null);
    if (found?.equals(contents)) continue;
    stale = true;
    console.error(`Expected presence_server/static/${name} to be what the sources make, got another: scripts/build`);
  }
  process.exitCode = stale ? 1 : 0;
}

async function sizes() {
  const parts = {
    client: { client: "src/client.js" },
    elements: { elements: "src/elements/index.js" },
    react: { react: "src/react.js" },
    worker: { worker: "src/client/worker.js" },
  };
  const sizes = {};
  for (const [name, entry] of Object.entries(parts)) {
    // The client is counted once, where it stands for itself.
    const options =
      name === "client" || name === "worker" ? {} : { plugins: [workerApart, styleWithoutSpace, withoutClient] };
    const [file] = await bundle(entry, { minify: true, ...options });
    sizes[name] = gzipSync(file.contents, { level: 9 }).length;
  }
  console.log(JSON.stringify(sizes));
}

const [, , mode, folder] = process.argv;
if (mode === "--check") await check();
else if (mode === "--sizes") await sizes();
else if (mode === "--package") await write(folder, await forPackage());
else {
  await write(served, await forServer());
  await rm(join(here, "dist"), { recursive: true, force: true });
  await write(join(here, "dist"), await forPackage());
}
