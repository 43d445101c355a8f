/** Lays workflow files out anew: `npm run layouts -- CATALOG.json WORKFLOW.json …`, as `python -m ui.layouts` calls it. */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import ELK from "elkjs/lib/elk.bundled.js";
import { createServer } from "vite";

const [catalog, ...files] = process.argv.slice(2);
const server = await createServer({
  server: { middlewareMode: true, ws: false },
  appType: "custom",
  logLevel: "error",
});
const { laidOut } = await server.ssrLoadModule("/tools/layouts.ts");
const elk = new ELK();
for (const file of files) {
  const text = readFileSync(file, "utf8");
  writeFileSync(
    file,
    await laidOut(text, JSON.parse(readFileSync(catalog, "utf8")), (graph) => elk.layout(graph)),
  );
}
await server.close();
