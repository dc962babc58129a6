import Files
import Models

extension Commands {
    /// Writes a model, or an adapter, in a type given by its name: those of
    /// ``export(_:adapters:to:output:type:force:observer:)``, and for a folder `nf4`.
    ///
    /// NF4 is what transformers and bitsandbytes read: the linear layers but the head, with double quantisation where the settings say so. A
    /// model that is loaded in NF4 is written with its own codes and scales, and comes back to the bit.
    ///
    /// - Throws: as the other does; ``InputError`` for a type that no format has.
    public static func export(
        _ settings: ModelSettings, adapters: [String], to target: ExportTarget, output: String, typeNamed name: String?,
        force: Bool = false, observer: RunObserver = { _ in }
    ) throws -> ExportReport {
        guard name != "int8" else {
            throw InputError(
                "`--type int8` is not written: no file format has a scale for each output of a matrix in whole numbers",
                hint: "nf4 in safetensors and q8_0 in gguf are nearest")
        }
        guard name == "nf4" else {
            return try export(
                settings, adapters: adapters, to: target, output: output, type: name.map(ExportTarget.type),
                force: force, observer: observer)
        }
        guard target == .safetensors else {
            throw InputError(
                "`--type nf4` is not written to \(target.rawValue)", hint: "It is a type of --to safetensors")
        }
        let output = try freeName(output)
        let settings = try settings.adopting(storageOf: adapters, observer: observer)
        let writing = VerifiedWriting(
            settings: settings, adapters: adapters, output: output, tolerance: .none, force: force)
        return try writing(observer: observer) { session, path in
            try writeHuggingFaceFolder(
                session.loaded, tokenizer: session.tokenizer, to: path, dtype: MergeType.nf4.storage(settings))
        } finish: { outcome, _ in
            ExportReport(
                output: outcome.output, target: target, type: MergeType.nf4.rawValue, layers: outcome.layers,
                logits: outcome.logits, isVerified: nil)
        }
    }
}
