"""Who plays: invented clubs and players."""

import random
from dataclasses import dataclass

CLUBS = (
    "Ashford Rovers",
    "Belmar City",
    "Costa Verde",
    "Dünenburg 04",
    "Esperança FC",
    "Fjordheim",
    "Golden Bay",
    "Harbour United",
    "Isola Rossa",
    "Jasna Góra",
    "Kestrel Park",
    "Lac-Supérieur",
    "Monte Alto",
    "Northgate Athletic",
    "Ōshima Stars",
    "Port Sauvage",
)
COMPETITION = "Touchline League"
ON_THE_PITCH = 11
SQUAD = 18

_GIVEN = (
    "Aarav Adam Aiko Álvaro Amara Anton Björn Bruno Caio Carlos Chidi Daichi Dario Diego Dimitri Elias "
    "Emre Enzo Félix Filip Gabriel Goran Håkon Hiroshi Hugo Ibrahim Iker Jakub João Jonas Jürgen Kaito "
    "Karim Kwame Lars Léo Luca Łukasz Marco Mateo Mehmet Miguel Milan Mohamed Nikola Noah Olivier Omar "
    "Pablo Pedro Petr Rafael Renzo Ryo Samuel Sergio Søren Tariq Thiago Tomás Viktor Yusuf Zoltán Zé"
).split()
_FAMILY = (
    "Abara Åberg Almeida Arslan Baptiste Becker Bianchi Castillo Çelik Conti da_Silva de_Vries Diallo "
    "Dvořák Eriksen Fernández Ferreira Fischer Fontaine García Girard Gündoğan Hansen Haugen Hernández "
    "Horvat Ito Ivanov Jansen Kaya Keller Kovačević Kowalski Larsen Lefèvre López Marchetti Martins "
    "Mbeki Mendes Moreau Müller Nakamura Nkemelu Novák Nuñez O'Brien Okafor Öztürk Peeters Petrov "
    "Quispe Rossi Sánchez Santos Šimić Sørensen Suzuki Tanaka Traoré van_Dijk Vasquez Weiß Wójcik Yıldız"
).split()


@dataclass(frozen=True)
class Squad:
    """A club and its players, the goalkeeper first."""

    club: str
    players: tuple[str, ...]

    @property
    def starters(self) -> tuple[str, ...]:
        return self.players[:ON_THE_PITCH]

    @property
    def bench(self) -> tuple[str, ...]:
        return self.players[ON_THE_PITCH:]


def squad_of(club: str) -> Squad:
    """The squad of a club: the same in every match day."""
    draw = random.Random(club)
    given = draw.sample(_GIVEN, SQUAD)
    family = [name.replace("_", " ") for name in draw.sample(_FAMILY, SQUAD)]
    return Squad(club, tuple(f"{first} {last}" for first, last in zip(given, family, strict=True)))


def pairings(draw: random.Random, matches: int) -> list[tuple[str, str]]:
    """Home and away clubs of a day's matches; a club plays again only when all have played."""
    clubs: list[str] = []
    while len(clubs) < 2 * matches:
        clubs += draw.sample(CLUBS, len(CLUBS))
    return list(zip(clubs[: 2 * matches : 2], clubs[1 : 2 * matches : 2], strict=True))
