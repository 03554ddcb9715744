"""Fine-tuning pretrained models with small adapters, whose ranks can be learned."""

from dart_keras.adapters.adapt import adapt
from dart_keras.adapters.adapter_files import load, save
from dart_keras.adapters.learning_rules.lora_plus import LoRAPlus
from dart_keras.adapters.learning_rules.lora_pro import LoRAPro
from dart_keras.adapters.lora_export import to_lora
from dart_keras.adapters.merge import merge
from dart_keras.adapters.method import Method, RankedMethod
from dart_keras.adapters.methods.ada_lora import AdaLoRA
from dart_keras.adapters.methods.allora import ALLoRA
from dart_keras.adapters.methods.bias import BitFit
from dart_keras.adapters.methods.dora import DoRA
from dart_keras.adapters.methods.flora import FLoRA
from dart_keras.adapters.methods.loldu import LoLDU
from dart_keras.adapters.methods.loretta import LoRETTA, LoRETTAAdp
from dart_keras.adapters.methods.meta_tt import MetaTT
from dart_keras.adapters.methods.miss import MiSS
from dart_keras.adapters.methods.rand_lora import RandLoRA
from dart_keras.adapters.methods.svfit import SVFit
from dart_keras.adapters.methods.tensor_train import LoRA, TTLoRA
from dart_keras.adapters.methods.tera import TeRA
from dart_keras.adapters.methods.vera import VeRA
from dart_keras.adapters.peft_export import save_peft
from dart_keras.adapters.switch import active, disabled

__all__ = [
    "ALLoRA",
    "AdaLoRA",
    "BitFit",
    "DoRA",
    "FLoRA",
    "LoLDU",
    "LoRA",
    "LoRAPlus",
    "LoRAPro",
    "LoRETTA",
    "LoRETTAAdp",
    "MetaTT",
    "Method",
    "MiSS",
    "RandLoRA",
    "RankedMethod",
    "SVFit",
    "TTLoRA",
    "TeRA",
    "VeRA",
    "active",
    "adapt",
    "disabled",
    "load",
    "merge",
    "save",
    "save_peft",
    "to_lora",
]


def __dir__() -> list[str]:
    return __all__
