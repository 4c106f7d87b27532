// @ts-check
/** German, with the words of the widget. */
import client from "../../languages/de.js";

/** @type {import("../../index.d.ts").Language} */
export default {
  locale: client.locale,
  texts: {
    ...client.texts,
    "none yet": "Nichts hochzuladen",
    "some done": "{count} von {files} fertig",
    "some stored": "{count} von {files} Dateien hochgeladen",
    "one stored": "1 Datei hochgeladen",
    "none stored": { one: "Die Datei wurde nicht hochgeladen", other: "Keine Datei wurde hochgeladen" },
    "some failed": "{count} fehlgeschlagen",
    "some waiting": { one: "{count} wartet", other: "{count} warten" },
    "several failed": "{count} Dateien: {error}",
    "continues later": "geht weiter, sobald verbunden",
    "of bytes": "{received} von {bytes}",
    left: "noch {left}",
    "start all": "Jetzt hochladen",
    "pause all": "Alle anhalten",
    "resume all": "Alle fortsetzen",
    "retry all": "Fehlgeschlagene erneut",
    "cancel all": "Alle abbrechen",
    "clear all": "Liste aufräumen",
    connected: "Verbunden",
    "not needed": "Verbindet bei Bedarf",
    connecting: "Verbindet",
    "no connection": "Keine Verbindung",
    "next try": "Keine Verbindung. Nächster Versuch in {left}",
    "try now": "Jetzt versuchen",
    offline: "Sie sind offline",
    closed: "Geschlossen",
    choose: { one: "Datei wählen", other: "Dateien wählen" },
    "choose another": "Andere Datei wählen",
    "choose folder": "Ordner wählen",
    "or drop": { one: "oder hier ablegen", other: "oder hier ablegen" },
    "any file": "jede Datei",
    "each at most": { one: "{accept} · bis {limit}", other: "{accept} · bis zu {count} Dateien, je {limit}" },
    files: "Dateien",
  },
};
