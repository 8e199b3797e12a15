"""Literature references of the methods, as BibTeX."""

from collections.abc import Iterable

__all__ = ["REFERENCES", "bibtex_entries"]

REFERENCES = {
    "occlusion": (
        "@inproceedings{zeiler2014visualizing, author={Zeiler, Matthew D. and Fergus, Rob}, "
        "title={Visualizing and Understanding Convolutional Networks}, booktitle={ECCV}, year={2014}}"
    ),
    "grad_cam": (
        "@inproceedings{selvaraju2017gradcam, author={Selvaraju, Ramprasaath R. and others}, "
        "title={Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization}, "
        "booktitle={ICCV}, year={2017}}"
    ),
    "integrated_gradients": (
        "@inproceedings{sundararajan2017axiomatic, author={Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi}, "
        "title={Axiomatic Attribution for Deep Networks}, booktitle={ICML}, year={2017}}"
    ),
    "smooth_grad": (
        "@article{smilkov2017smoothgrad, author={Smilkov, Daniel and others}, "
        "title={SmoothGrad: removing noise by adding noise}, journal={arXiv:1706.03825}, year={2017}}"
    ),
    "deep_lift": (
        "@inproceedings{shrikumar2017learning, author={Shrikumar, Avanti and Greenside, Peyton and Kundaje, Anshul}, "
        "title={Learning Important Features Through Propagating Activation Differences}, booktitle={ICML}, year={2017}}"
    ),
    "lrp": (
        "@article{bach2015pixelwise, author={Bach, Sebastian and others}, title={On Pixel-Wise Explanations for "
        "Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation}, journal={PLOS ONE}, year={2015}}"
    ),
    "prediction_difference": (
        "@inproceedings{zintgraf2017visualizing, author={Zintgraf, Luisa M. and others}, title={Visualizing Deep "
        "Neural Network Decisions: Prediction Difference Analysis}, booktitle={ICLR}, year={2017}}"
    ),
    "counterfactual": (
        "@inproceedings{hvilshoj2021ecinn, author={Hvilsh{\\o}j, Frederik and Iosifidis, Alexandros and Assent, Ira}, "
        "title={ECINN: Efficient Counterfactuals from Invertible Neural Networks}, booktitle={BMVC}, year={2021}}"
    ),
    "iresnet": (
        "@inproceedings{behrmann2019invertible, author={Behrmann, Jens and others}, "
        "title={Invertible Residual Networks}, booktitle={ICML}, year={2019}}"
    ),
    "resnext": (
        "@inproceedings{xie2017aggregated, author={Xie, Saining and others}, title={Aggregated Residual "
        "Transformations for Deep Neural Networks}, booktitle={CVPR}, year={2017}}"
    ),
    "checks": (
        "@inproceedings{adebayo2018sanity, author={Adebayo, Julius and others}, "
        "title={Sanity Checks for Saliency Maps}, booktitle={NeurIPS}, year={2018}}"
    ),
    "calibration": (
        "@inproceedings{guo2017calibration, author={Guo, Chuan and others}, "
        "title={On Calibration of Modern Neural Networks}, booktitle={ICML}, year={2017}}"
    ),
    "sets": (
        "@book{vovk2005algorithmic, author={Vovk, Vladimir and Gammerman, Alex and Shafer, Glenn}, "
        "title={Algorithmic Learning in a Random World}, publisher={Springer}, year={2005}}"
    ),
    "plates": (
        "@article{zhang1999simple, author={Zhang, Ji-Hu and Chung, Thomas D. Y. and Oldenburg, Kevin R.}, title={A "
        "Simple Statistical Parameter for Use in Evaluation and Validation of High Throughput Screening Assays}, "
        "journal={Journal of Biomolecular Screening}, year={1999}}"
    ),
}
"""BibTeX entry of each method; Guided Grad-CAM is described in the paper of Grad-CAM."""

_ALIASES = {"guided_grad_cam": "grad_cam", "occlusion_channels": "occlusion"}


def bibtex_entries(used: Iterable[str]) -> list[str]:
    """BibTeX entries of the methods used, each once; methods without an entry are left out.

    Example:
        >>> len(bibtex_entries(["grad_cam", "guided_grad_cam", "of nobody"]))
        1
    """
    keys = dict.fromkeys(_ALIASES.get(name, name) for name in used)
    return [REFERENCES[key] for key in keys if key in REFERENCES]
