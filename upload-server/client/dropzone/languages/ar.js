// @ts-check
/** Arabic, with the words of the widget. */
import client from "../../languages/ar.js";

/** @type {import("../../index.d.ts").Language} */
export default {
  locale: client.locale,
  texts: {
    ...client.texts,
    "none yet": "لا شيء للرفع",
    "some done": "اكتمل {count} من {files}",
    "some stored": "رُفع {count} من {files}",
    "one stored": "رُفع ملف واحد",
    "none stored": "لم يُرفع أي ملف",
    "some failed": "فشل {count}",
    "some waiting": "{count} في الانتظار",
    "several failed": { one: "ملف واحد: {error}", two: "ملفان: {error}", few: "{count} ملفات: {error}", many: "{count} ملفًا: {error}", other: "{count} ملف: {error}" },
    "continues later": "يستمر عند الاتصال",
    "of bytes": "{received} من {bytes}",
    rate: "{speed}/ث",
    left: "بقي {left}",
    "start all": "ارفع الآن",
    "pause all": "إيقاف الكل",
    "resume all": "استئناف الكل",
    "retry all": "إعادة الفاشلة",
    "cancel all": "إلغاء الكل",
    "clear all": "مسح المنتهية",
    connected: "متصل",
    "not needed": "يتصل عند الحاجة",
    connecting: "جارٍ الاتصال",
    "no connection": "لا اتصال",
    "next try": "لا اتصال. المحاولة التالية بعد {left}",
    "try now": "حاول الآن",
    offline: "أنت غير متصل بالإنترنت",
    closed: "مغلق",
    choose: { one: "اختر ملفًا", other: "اختر ملفات" },
    "choose another": "اختر ملفًا آخر",
    "choose folder": "اختر مجلدًا",
    "or drop": { one: "أو أفلته هنا", other: "أو أفلتها هنا" },
    "any file": "أي ملف",
    "each at most": { one: "{accept} · حتى {limit}", other: "{accept} · {count} كحد أقصى، {limit} لكل ملف" },
    files: "ملفات",
  },
};
