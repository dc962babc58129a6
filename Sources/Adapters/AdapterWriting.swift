import Files
import Layers
import Tensors

/// The tensors of an adapter on a model, under PEFT's names, in the order of those.
///
/// - Throws: `InputError` where no module has an adapter of this name.
public func adapterTensors(
    named name: String = "default", of model: any Module
) throws -> [(name: String, value: Tensor)] {
    let tensors = AdaptableModules(model).adaptable.flatMap { path, module in
        (module.adapterModule(name)?.savedTensors ?? []).map { (name: adapterKey(path, $0.name), value: $0.value) }
    }
    guard !tensors.isEmpty else { throw InputError("the model has no adapter named \"\(name)\"") }
    return tensors.sorted { $0.name < $1.name }
}

/// Saves an adapter that is on a model as a folder that PEFT loads.
///
/// Each file appears whole or not at all; the configuration comes last, so that a folder without it is no adapter yet.
///
/// - Parameters:
///   - configuration: the settings with which it was attached.
///   - name: the adapter's name on the model.
///   - model: the model.
///   - path: the folder, made where it is missing.
///   - record: what it belongs to.
/// - Throws: `RunError` where the folder cannot be written.
public func writeAdapter(
    _ configuration: any AdapterConfiguration, named name: String = "default", of model: any Module, to path: String,
    record: AdapterRecord
) throws {
    let tensors = try adapterTensors(named: name, of: model)
    try writeAdapterFolder(
        tensors, keys: configuration.peftKeys(for: AdaptableModules(model)), peftType: type(of: configuration).peftType,
        to: path, record: record)
}

/// Writes the two files of an adapter.
///
/// - Parameters:
///   - tensors: under their names in the file.
///   - keys: the method's own settings.
///   - peftType: the method.
///   - path: the folder, made where it is missing.
///   - record: what it belongs to.
/// - Throws: `RunError` where the folder cannot be written.
func writeAdapterFolder(
    _ tensors: [(name: String, value: Tensor)], keys: [String: JSON], peftType: String, to path: String,
    record: AdapterRecord
) throws {
    let text = adapterConfigurationJSON(keys, peftType: peftType, record: record)
    try FileWriting.makeFolder(path)
    try SafetensorsWriter.write(
        tensors.map { name, value in
            SafetensorsTensor(name, .f32, shape: value.shape) { sink in try value.withFloats(sink) }
        }, metadata: record.metadata.merging(["format": "pt"]) { $1 }, to: path + "/" + AdapterFolder.weightsName)
    try FileWriting.replace(path + "/" + AdapterFolder.configurationName, with: text)
}

/// The text of `adapter_config.json`: every key that PEFT 0.21.2 writes, sorted, as Python's `json.dumps(indent=2)` lays it out.
private func adapterConfigurationJSON(_ own: [String: JSON], peftType: String, record: AdapterRecord) -> String {
    var keys = own
    keys["auto_mapping"] = .null
    keys["base_model_name_or_path"] = record.baseModel.map { .string($0) } ?? .null
    keys["inference_mode"] = true
    keys["peft_type"] = .string(peftType)
    keys["peft_version"] = "0.21.2"
    keys["revision"] = .null
    keys["task_type"] = .string(record.taskType)
    return JSON(members: keys.map { ($0.key, $0.value) }).text(.indented(2, sortedKeys: true))
}
