"""Run in an environment with desispec: write exposures, their coadd, and that across cameras, into a folder.

Each file comes with what desispec itself reads from it (`.npz`: target ids, wavelength, flux, ivar and unmasked
pixels per arm), so that
the reader under test is held against desispec's.
"""

import sys
from pathlib import Path

import numpy as np
from astropy.table import Table
from desispec.coaddition import coadd, coadd_cameras
from desispec.io import read_spectra, write_spectra
from desispec.spectra import Spectra

TARGETS = (39633123456789012, 39633123456789013, 39627987654321098)
EXPOSURES = (3, 1, 2)
"""Of each target."""

# DESI's own pixels: 0.8 Angstrom, cameras that overlap
WAVE = {
    "b": np.arange(3600.0, 5800.2, 0.8),
    "r": np.arange(5760.0, 7620.2, 0.8),
    "z": np.arange(7520.0, 9824.2, 0.8),
}
N_DIAGONALS = 5


def exposures() -> Spectra:
    """A break and a slope per target, noise per exposure, a tenth of the pixels masked or without inverse variance."""
    rng = np.random.default_rng(7)
    target = np.repeat(np.arange(len(TARGETS)), EXPOSURES)
    n = len(target)
    fibermap = Table()
    fibermap["TARGETID"] = np.array(TARGETS, np.int64)[target]
    # what desispec's coaddition asks of a fibermap
    fibermap["EXPID"] = np.arange(100, 100 + n, dtype=np.int32)
    fibermap["NIGHT"] = np.full(n, 20260301, np.int32)
    fibermap["TILEID"] = np.full(n, 1000, np.int32)
    fibermap["FIBER"] = np.arange(n, dtype=np.int32)
    fibermap["FIBERSTATUS"] = np.zeros(n, np.int32)
    flux, ivar, mask, resolution = {}, {}, {}, {}
    for band, wave in WAVE.items():
        shape = (n, len(wave))
        ivar[band] = rng.uniform(0.5, 2, shape) * (rng.random(shape) > 0.05)
        model = 1 + target[:, None] + np.where(wave > 4500 + 900 * target[:, None], 2.0, 0.0) + 1e-4 * wave
        flux[band] = model + rng.normal(size=shape) / np.sqrt(np.maximum(ivar[band], 0.5))
        mask[band] = (rng.random(shape) < 0.05).astype(np.uint32) * 4
        resolution[band] = np.zeros((n, N_DIAGONALS, len(wave)))
        resolution[band][:, N_DIAGONALS // 2] = 1
    return Spectra(list(WAVE), WAVE, flux, ivar, mask=mask, resolution_data=resolution, fibermap=fibermap)


def main(folder: Path) -> None:
    spectra = exposures()
    files = {"spectra-main-dark-1.fits": spectra}
    coadded = exposures()
    coadd(coadded)
    files["coadd-main-dark-1.fits"] = coadded
    files["coadd-brz.fits"] = coadd_cameras(coadded)
    files["spectra-main-dark-1.fits.gz"] = spectra
    for name, each in files.items():
        write_spectra(str(folder / name), each)
        read = read_spectra(str(folder / name))
        arrays = {"target_id": np.asarray(read.fibermap["TARGETID"]), "bands": np.array(read.bands)}
        for band in read.bands:
            good = read.mask[band] == 0
            ivar = np.where(good, read.ivar[band], 0)
            arrays |= {f"{band}_wave": read.wave[band], f"{band}_flux": read.flux[band], f"{band}_ivar": ivar}
            arrays[f"{band}_good"] = good
        np.savez(folder / f"{name}.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
