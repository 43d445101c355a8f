/** What stands above the sheet until it is settled: a file that others changed, a storage that keeps nothing. */
import { FileWarning, HardDriveDownload } from "lucide-react";
import { activeOf, isDirty, useDocuments } from "../state/documents";
import { GONE, openOther, takeOther } from "../state/elsewhere";
import { saveAs, saveFile } from "../state/files";
import { useKeeping } from "../state/keeping";
import { openDialog } from "../state/ui";
import { t } from "../strings";

export function Notices() {
  return (
    <div className="notices">
      <Elsewhere />
      <NotKept />
    </div>
  );
}

function Elsewhere() {
  const document = useDocuments(activeOf);
  const { id, file } = document;
  if (file.elsewhere === null) return null;
  const gone = file.elsewhere === GONE;
  const dirty = isDirty(document);
  return (
    <div className="notice" role="alert">
      <FileWarning size={15} aria-hidden />
      <p>
        <b>{file.path}</b>{" "}
        {gone
          ? t("was deleted elsewhere; what it held is still here.")
          : dirty
            ? t("was changed elsewhere, and changed here too.")
            : t("was changed elsewhere.")}
      </p>
      <span className="notice-actions">
        {gone ? null : dirty ? (
          <button className="small-button" onClick={() => void openOther(file.path)}>
            {t("Open the other version")}
          </button>
        ) : (
          <button className="small-button" onClick={() => void takeOther(id)}>
            {t("Show the new version")}
          </button>
        )}
        <button className="small-button" onClick={() => openDialog("save")}>
          {t("Save as…")}
        </button>
        {gone || dirty ? (
          <button className="small-button" onClick={() => void saveAs(file.path, { id, overwrite: true })}>
            {gone ? t("Write it again") : t("Overwrite")}
          </button>
        ) : null}
      </span>
    </div>
  );
}

function NotKept() {
  const trouble = useKeeping((state) => state.trouble);
  if (trouble === "") return null;
  return (
    <div className="notice" role="alert">
      <HardDriveDownload size={15} aria-hidden />
      <p>
        <b>{trouble}.</b>{" "}
        {t("Unsaved changes are lost when this page closes: save them, or forget older ones.")}
      </p>
      <span className="notice-actions">
        <button className="small-button" onClick={() => void saveFile()}>
          {t("Save")}
        </button>
        <button className="small-button" onClick={() => openDialog("start")}>
          {t("Older ones")}
        </button>
      </span>
    </div>
  );
}
