import js from "@eslint/js";
import hooks from "eslint-plugin-react-hooks";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["dist", "node_modules", "generated"] },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    files: ["**/*.{ts,tsx}"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { "react-hooks": hooks },
    rules: {
      ...hooks.configs.recommended.rules,
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "max-lines": ["error", 500],
    },
  },
  {
    // The document is changed by commands alone, and by what they are handed: what is closed over may be out of date.
    files: ["src/**"],
    ignores: ["src/commands/**", "src/state/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              regex: "/state/editor$",
              importNames: ["edit", "editPlaces"],
              message: "Write a command (src/commands): a test tries them all.",
            },
          ],
        },
      ],
    },
  },
  {
    files: ["src/commands/**", "src/state/**"],
    rules: {
      "no-restricted-syntax": [
        "error",
        {
          selector:
            "CallExpression[callee.name=/^edit(Places)?$/] :function CallExpression[callee.property.name='getState']",
          message: "Ask for the state before the edit; in it there is the document that it is handed.",
        },
        {
          selector: "CallExpression[callee.name=/^edit(Places)?$/] > :function[params.length=0]",
          message: "An edit changes the document that it is handed.",
        },
      ],
    },
  },
  { files: ["**/*.js"], extends: [tseslint.configs.disableTypeChecked] },
);
