import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const server = process.env.LOOM_SERVER ?? "http://127.0.0.1:7860";

export default defineConfig({
  plugins: [react()],
  base: "./",
  build: { outDir: "dist", target: "es2022", sourcemap: false, chunkSizeWarningLimit: 900 },
  server: { proxy: { "/api": { target: server, ws: true }, "/app": server } },
  test: { include: ["tests/**/*.test.ts"] },
});
