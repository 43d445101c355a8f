import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  base: "./",
  build: { target: "es2022", rollupOptions: { input: "tools/bare.html" }, emptyOutDir: true },
});
