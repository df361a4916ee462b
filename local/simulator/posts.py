"""What people post about a match, in several languages."""

import random
from typing import NamedTuple

# What a post is about -> language -> texts. {club}, {player}, {home} and {away} are filled in.
_TEXTS: dict[str, dict[str, tuple[str, ...]]] = {
    "goal": {
        "en": ("GOAL! {player}! What a strike!", "{player} puts {club} on the board. Unreal."),
        "es": ("¡Gooool de {player}! ¡Vamos {club}!", "Golazo de {player}, qué locura."),
        "pt": ("É goooolo! {player}, és enorme!", "Que remate de {player}. Força {club}!"),
        "de": ("TOR! {player} trifft für {club}!", "Was für ein Schuss von {player}, unhaltbar."),
        "fr": ("BUUUT ! {player} pour {club} !", "Quelle frappe de {player}, je n'y crois pas."),
        "it": ("GOL! {player}, che meraviglia!", "Segna {player}, {club} in festa!"),
        "ja": ("{player} ゴール!すごいシュートだ!", "{club} やった!最高!"),
        "ar": ("هدف! {player} يسجل لصالح {club}!",),
        "tr": ("GOOOL! {player} attı, tribünler yıkılıyor!",),
        "pl": ("GOOOL! {player}! Co za uderzenie!",),
        "ko": ("골! {player} 대단하다!",),
    },
    "var": {
        "en": ("VAR again... just let them play.", "Checking for offside. My heart can't take this."),
        "es": ("Otra vez el VAR, así no se puede disfrutar.", "Anulado. No me lo creo."),
        "pt": ("O VAR outra vez a decidir o jogo.",),
        "de": ("Schon wieder der VAR. Wie lange dauert das denn?", "Abseits? Nie im Leben."),
        "fr": ("Encore la VAR... on ne sait plus quand fêter un but.",),
        "it": ("Ancora il VAR. Fuorigioco? Ma dai.",),
        "ja": ("またVARか。オフサイドには見えない。",),
        "ar": ("تقنية الفيديو مرة أخرى، لا أصدق.",),
        "tr": ("Yine VAR... ofsayt falan yok orada.",),
        "pl": ("Znowu VAR. Ile można czekać?",),
        "ko": ("또 VAR이네, 오프사이드 아닌데.",),
    },
    "talk": {
        "en": (
            "{home} pressing high, {away} can't get out.",
            "Best atmosphere of the season here.",
            "{player} is everywhere tonight.",
            "My stream is a minute behind, no spoilers please 🙏",
        ),
        "es": ("Partidazo entre {home} y {away}.", "{player} lo está bordando hoy 👏"),
        "pt": ("Que jogo! {home} e {away} não param.", "{player} está em todo o lado."),
        "de": ("Ganz schön zäh, dieses {home} gegen {away}.", "{player} heute überragend ⚽"),
        "fr": ("Quel match entre {home} et {away} !", "{player} est partout ce soir."),
        "it": ("Che partita tra {home} e {away}!", "{player} sta giocando da fuoriclasse."),
        "ja": ("{home} 対 {away}、いい試合だ。", "今日の {player} は調子がいい。"),
        "ar": ("مباراة رائعة بين {home} و {away}.",),
        "tr": ("{home} - {away} maçı çok keyifli.",),
        "pl": ("Świetny mecz {home} – {away}.",),
        "ko": ("{home} 대 {away}, 정말 재미있다.",),
    },
}
_LANGUAGES = tuple(_TEXTS["talk"])
_WEIGHTS = (8, 4, 3, 3, 3, 2, 2, 1, 1, 1, 1)
_UNTAGGED = 0.15  # the source does not know the language of these
_HANDLES = (
    "northstand",
    "fede_10",
    "tifo",
    "halbzeit",
    "la_pelota",
    "xG_enjoyer",
    "sakka",
    "matchday",
    "ultra",
)


class Post(NamedTuple):
    author: str
    text: str
    language: str  # empty where the source does not know it


def write_post(draw: random.Random, about: str, names: dict[str, str]) -> Post:
    """A post `about` a goal, a var review or the match (`talk`); `names` fill the text."""
    language = draw.choices(_LANGUAGES, _WEIGHTS)[0]
    text = draw.choice(_TEXTS[about][language]).format(**names)
    author = f"{draw.choice(_HANDLES)}{draw.randrange(1000)}"
    return Post(author, text, "" if draw.random() < _UNTAGGED else language)
