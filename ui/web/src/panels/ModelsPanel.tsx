/** The models that lie on the server's machine: what each is, and a node that loads it. */
import { Copy, Hash, RefreshCw, Search } from "lucide-react";
import { useEffect, useState } from "react";
import { bytes, large } from "../drawing/format";
import { api, fileUrl } from "../server/api";
import type { ModelFile } from "../server/types";
import { say, sayError } from "../state/ui";
import { t } from "../strings";
import { IconButton } from "../widgets/IconButton";
import { load } from "./modelActions";

/** Whether all words of a query are in what is known of a model. */
const fits = (model: ModelFile, query: string): boolean => {
  const said = [model.path, model.what, model.dtype, model.hash, model.data_hash, ...model.words].join(" ");
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => said.toLowerCase().includes(word));
};

export function ModelsPanel() {
  const [models, setModels] = useState<readonly ModelFile[] | null>(null);
  const [query, setQuery] = useState("");
  const [round, setRound] = useState(0);
  useEffect(() => {
    let current = true;
    api.models().then((found) => current && setModels(found), sayError);
    return () => {
      current = false;
    };
  }, [round]);
  const shown = models?.filter((model) => fits(model, query));
  const hash = (path: string): Promise<void> =>
    api
      .hashModel(path)
      .then(
        (now) => setModels((known) => known?.map((own) => (own.path === path ? now : own)) ?? null),
        sayError,
      );
  return (
    <div className="model-list">
      <div className="model-search">
        <label className="gallery-search">
          <Search size={13} aria-hidden />
          <input
            type="search"
            aria-label={t("Search the models")}
            placeholder={t("Name, family, word, hash")}
            value={query}
            onChange={(event) => setQuery(event.target.value)}
          />
        </label>
        <IconButton label={t("Look again")} run={() => setRound((n) => n + 1)}>
          <RefreshCw size={14} />
        </IconButton>
      </div>
      {shown?.length === 0 ? (
        <p className="quiet">
          {query
            ? t("No models that fit.")
            : t(
                "No models yet. Put files into the workspace's folder “models”, or lend this server a folder of another program as it starts: --files FOLDER.",
              )}
        </p>
      ) : null}
      <ul>
        {shown?.map((model) => (
          <Entry key={model.path} model={model} hash={() => hash(model.path)} />
        ))}
      </ul>
    </div>
  );
}

function Entry({ model, hash }: { model: ModelFile; hash: () => Promise<void> }) {
  const [reading, setReading] = useState(false); // of a large file it takes a while
  const { path, what, dtype, parameters, size, words, thumbnail, problem, loads } = model;
  const facts = [dtype, parameters > 0 ? t("{n} parameters", { n: large(parameters) }) : "", bytes(size)];
  const isFile = /\.[a-z]+$/i.test(path);
  return (
    <li className={problem ? "wrong" : ""}>
      {thumbnail ? <img src={fileUrl(thumbnail, 96)} alt="" loading="lazy" /> : null}
      <div>
        <b title={path}>{path.split("/").at(-1)}</b>
        <p>{what}</p>
        <p className="quiet">{facts.filter(Boolean).join(" · ")}</p>
        {model.hash ? (
          <p className="quiet model-hash">{[model.hash, model.data_hash].filter(Boolean).join(" · ")}</p>
        ) : null}
        {words.length > 0 ? <p className="model-words">{words.join(", ")}</p> : null}
        {problem ? <p className="model-problem">{problem}</p> : null}
        <p className="model-actions">
          {loads ? (
            <button className="small-button" onClick={() => load(model)}>
              {t("Load")}
            </button>
          ) : null}
          <IconButton
            label={t("Copy the path of {name}", { name: path.split("/").at(-1) ?? path })}
            tip={path}
            run={() =>
              void navigator.clipboard.writeText(path).then(() => say(t("The path is copied")), sayError)
            }
          >
            <Copy size={13} />
          </IconButton>
          {isFile && !model.hash && !problem ? (
            <IconButton
              label={t("Hash of {name}", { name: path.split("/").at(-1) ?? path })}
              tip={t("Read the file for its hash, as A1111 and Civitai show it")}
              disabled={reading}
              run={() => {
                setReading(true);
                void hash().finally(() => setReading(false));
              }}
            >
              <Hash size={13} />
            </IconButton>
          ) : null}
        </p>
      </div>
    </li>
  );
}
