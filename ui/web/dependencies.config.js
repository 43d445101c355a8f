/** The folders of src, each above those before it: a file imports what is in its own folder or below, and never itself. */
import { readdirSync } from "node:fs";

const FOLDERS = [
  "strings",
  "server",
  "document",
  "drawing",
  "state",
  "commands",
  "widgets",
  "canvas",
  "panels",
];

const unplaced = readdirSync(`${import.meta.dirname}/src`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "style" && !FOLDERS.includes(entry.name))
  .map((entry) => entry.name);
if (unplaced.length > 0)
  throw new Error(`Which folders lie below ${unplaced.join(", ")}? Say so in FOLDERS.`);

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    {
      name: "no-circles",
      comment: "Move what both need to a file of its own.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    ...FOLDERS.slice(1).map((folder, i) => ({
      name: `below-${folder}`,
      comment: "Move what both need down, or hand it in.",
      severity: "error",
      from: { path: `^src/(${FOLDERS.slice(0, i + 1).join("|")})/` },
      to: { path: `^src/${folder}/` },
    })),
    {
      name: "below-the-page",
      comment: "App.tsx and main.tsx put all together.",
      severity: "error",
      from: { path: "^src/.+/" },
      to: { path: "^src/(App|main)" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
  },
};
