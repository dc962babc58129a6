import Files
import Layers
import Tensors
import Tokenizers

/// The families this program knows, and how a model of one is loaded.
public enum ModelRegistry {
    /// Every family, one line each.
    public static let families: [any ModelFamily.Type] = [
        Llama.self,
        Qwen2.self,
    ]

    /// Opens a model: a Hugging Face folder, a `.gguf` file, or `org/name` in the local Hugging Face cache.
    ///
    /// - Parameters:
    ///   - path: any of the three.
    ///   - weights: how matrices are stored in memory; norms and biases stay f32. A folder that holds NF4 is not quantised again: where
    ///     either NF4 is asked for it gives its own.
    ///   - skipped: what is not quantised where `weights` is int8 or NF4, and is bf16 where it is stored so or products are, else f32.
    ///   - precision: how products are computed.
    ///   - vocabulary: the tokens that there are to be; where the checkpoint has fewer, embedding and head get rows for the rest, each the mean
    ///     of those that are there.
    ///   - task: what the head is to say. A language model is made a sequence classifier by a score head in the place of its own.
    ///   - isTrained: whether a matrix will be trained in a model of so many decoder layers: it is kept in f32 then.
    /// - Returns: the model, with every checkpoint key accounted for.
    /// - Throws: `InputError` that names the file and the key, tensor or family at fault.
    public static func load(
        _ path: String, weights: DType = .f32, skipping skipped: SkippedModules = .standard,
        precision: Precision = .f32, vocabulary: Int = 0, task: ModelTask = .languageModel,
        isTrained: (_ path: String, _ layers: Int) throws -> Bool = { _, _ in false }
    ) throws -> LoadedModel {
        let checkpoint = try openCheckpoint(path)
        let family = try family(of: checkpoint)
        try checkpoint.check(task)
        var configuration = try configuration(of: checkpoint, family)
        let tableRows = configuration.vocabularySize
        configuration.vocabularySize = max(tableRows, vocabulary)
        let isNF4 = weights == .nf4 || weights == .nf4DoubleQuant
        let weights = isNF4 ? checkpoint.quantization ?? weights : weights
        let skipped = skipped.inModel(configuration)
        return try withoutActuallyEscaping(isTrained) { [configuration] isTrained in
            let storage = MatrixStorage(
                weights: weights, precision: precision, skipped: skipped,
                followsSource: isNF4 && checkpoint.quantization != nil
            ) {
                try isTrained($0, configuration.layers)
            }
            let parameters = CheckpointParameters(
                checkpoint, family: family, configuration, storage: storage, tableRows: tableRows, task: task)
            let model = try CausalLM(parameters, configuration, precision: precision, task: task)
            try parameters.finish()
            if weights.isQuantized, skipped.names != SkippedModules.standard.names {
                try skipped.check(model.parameters().map(\.path))
            }
            return LoadedModel(
                model: model, family: family, checkpoint: checkpoint, weights: weights, skipped: skipped,
                hasFreshHead: parameters.hasFreshHead,
                quantizationErrors: parameters.quantizationErrors)
        }
    }

    private static func family(of checkpoint: any Checkpoint) throws -> any ModelFamily.Type {
        let (key, nameOf): (String, (any ModelFamily.Type) -> String) =
            switch checkpoint.format {
            case .huggingFace: ("model_type", { $0.name })
            case .gguf: ("general.architecture", { $0.ggufArchitecture })
            }
        guard let name = checkpoint.configuration[key]?.string else {
            throw InputError(
                "the configuration does not name the model's family", file: checkpoint.path, place: "`\(key)`")
        }
        guard let family = families.first(where: { nameOf($0) == name }) else {
            throw InputError(
                "models of the family \"\(name)\" are not supported", file: checkpoint.path, place: "`\(key)`",
                hint: "supported are \(families.map(nameOf).joined(separator: ", "))")
        }
        return family
    }

    private static func configuration(
        of checkpoint: any Checkpoint, _ family: any ModelFamily.Type
    ) throws -> DecoderConfiguration {
        switch checkpoint.format {
        case .huggingFace:
            try family.configuration(huggingFace: checkpoint.configuration, file: "\(checkpoint.path)/config.json")
        case .gguf: try family.configuration(checkpoint, gguf: checkpoint.configuration)
        }
    }
}

/// A model with where it came from.
public struct LoadedModel {
    /// The model, frozen.
    public let model: CausalLM
    /// Its family.
    public let family: any ModelFamily.Type
    /// The files it was read from.
    public let checkpoint: any Checkpoint
    /// How its matrices are stored in memory.
    public let weights: DType
    /// What is not quantised where others are.
    public let skipped: SkippedModules
    /// Whether the score head was drawn, and not read.
    public let hasFreshHead: Bool
    /// What quantising them lost, by kind of layer; empty where nothing is quantised.
    public let quantizationErrors: [QuantizationError]
}
